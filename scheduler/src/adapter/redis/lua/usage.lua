-- For each day: the day and its counters, as a list of names and values.
local request, days = cjson.decode(ARGV[1]), {}
for place, day in ipairs(redis.call('ZRANGEBYSCORE', key('days', request.tenant), request.from, request.to)) do
  days[place] = {day, redis.call('HGETALL', key('usage', request.tenant, day))}
end
return days
