-- A file or a model of a tenant.
local at = row(request.kind, request.id)
if redis.call('HGET', at, 'scope') ~= request.tenant then return refuse('absent') end
if not fits(request.also) then return refuse('conflict') end
remove_weighed(request.kind, request.id)
apply(request.also)
return answer('ok')
