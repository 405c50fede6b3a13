if redis.call('HGET', row('checkpoint', request.id), 'scope') ~= request.job then
  return refuse('absent')
end
remove('checkpoint', request.id)
return answer('ok')
