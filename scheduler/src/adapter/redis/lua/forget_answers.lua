-- Some of the answers that were kept before a time; 'more' where others are left.
local old = redis.call('ZRANGEBYSCORE', key('answers'), '-inf', '(' .. request.before_ms, 'LIMIT', 0, request.limit)
for _, name in ipairs(old) do
  redis.call('DEL', key('answer', name))
  redis.call('ZREM', key('answers'), name)
  redis.call('ZREM', list('answer', string.match(name, '^[^:]*')), name)
end
if #old == 0 then return refuse('ok') end
return answer(#old == request.limit and 'more' or 'ok')
