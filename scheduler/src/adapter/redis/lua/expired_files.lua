local request, records = cjson.decode(ARGV[1]), {}
local due = redis.call('ZRANGEBYSCORE', key('expiring'), '-inf', request.now_ms, 'LIMIT', 0, request.limit)
for place, id in ipairs(due) do
  records[place] = redis.call('HGET', row('file', id), 'record')
end
return records
