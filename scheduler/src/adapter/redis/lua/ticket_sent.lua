if redis.call('ZREM', key('outbox'), request.ticket) == 0 then return refuse('absent') end
redis.call('HDEL', key('tickets'), request.ticket)
redis.call('SREM', key('tickets', request.job), request.ticket)
return answer('ok')
