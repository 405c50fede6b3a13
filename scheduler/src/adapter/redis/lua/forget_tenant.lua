-- Some of what a tenant has; 'more' where something may be left.
local tenant, left = request.tenant, request.limit

local function take(kind, scope, forget)
  if left < 1 then return end
  for _, id in ipairs(redis.call('ZRANGE', list(kind, scope), 0, left - 1)) do
    forget(kind, id)
    left = left - 1
  end
end

local function forget_answer(_, name)
  redis.call('DEL', key('answer', name))
  redis.call('ZREM', key('answers'), name)
  redis.call('ZREM', list('answer', tenant), name)
end

-- After all that its lists hold.
local function forget_job(_, id)
  line_up(redis.call('ZSCORE', list('job', tenant), id))
  for _, name in ipairs(redis.call('SMEMBERS', key('tickets', id))) do
    redis.call('ZREM', key('outbox'), name)
    redis.call('HDEL', key('tickets'), name)
  end
  redis.call('DEL', key('tickets', id))
  count_under(row('job', id), nil)
  remove('job', id)
end

take('file', tenant, remove_weighed)
take('model', tenant, remove_weighed)
take('answer', tenant, forget_answer)
while left > 0 do
  local id = redis.call('ZRANGE', list('job', tenant), 0, 0)[1]
  if not id then break end
  take('event', id, remove)
  take('checkpoint', id, remove)
  if left > 0 then
    forget_job('job', id)
    left = left - 1
  end
end
if left < 1 then return answer('more') end
for _, day in ipairs(redis.call('ZRANGE', key('days', tenant), 0, -1)) do
  redis.call('DEL', key('usage', tenant, day))
end
redis.call('DEL', key('days', tenant), key('bytes', tenant))
return answer('ok')
