local records = {}
for place, id in ipairs(redis.call('ZRANGE', key('live'), 0, -1)) do
  records[place] = redis.call('HGET', row('job', id), 'record')
end
return records
