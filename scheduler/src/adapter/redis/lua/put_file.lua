if taken_by_another(request.file) or not fits(request.also) then return refuse('conflict') end
put_file(request.file)
apply(request.also)
return answer('ok')
