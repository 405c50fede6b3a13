if redis.call('ZREM', key('outbox'), request.ticket) == 0 then return refuse('absent') end
redis.call('HDEL', key('tickets'), request.ticket)
return answer('ok')
