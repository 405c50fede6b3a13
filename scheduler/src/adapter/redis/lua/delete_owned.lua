-- A file or a model of a tenant.
local at = row(request.kind, request.id)
if redis.call('HGET', at, 'scope') ~= request.tenant then return refuse('absent') end
if not fits(request.also) then return refuse('conflict') end
local low, high = unpack(redis.call('HMGET', at, 'low', 'high'))
-- Not -low: '-0' is no integer to Redis.
weigh(request.tenant, 0 - low, 0 - high)
redis.call('ZREM', key('expiring'), request.id)
remove(request.kind, request.id)
apply(request.also)
return answer('ok')
