local records = {}
for place, id in ipairs(redis.call('ZRANGE', key('lane', 'busy'), 0, -1)) do
  records[place] = redis.call('HGET', row('job', id), 'record')
end
return records
