local records = {}
for place, name in ipairs(redis.call('ZRANGE', key('outbox'), 0, -1)) do
  records[place] = redis.call('HGET', key('tickets'), name)
end
return records
