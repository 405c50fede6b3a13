if not fits(request) then return refuse('conflict') end
apply(request)
return answer('ok')
