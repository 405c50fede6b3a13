local job = request.job
local tenant, at = job.scope, row('job', job.id)

if request.live_max then
  local live = redis.call('ZCARD', labelled('job', 'live', tenant))
  if live >= request.live_max then return refuse('too_many ' .. live) end
end
local rev, state, labels = unpack(redis.call('HMGET', at, 'rev', 'state', 'labels'))
if tonumber(rev or 0) ~= request.expected_rev then return refuse('conflict') end
local kept = request.idempotency
if kept and not kept.implied and redis.call('EXISTS', key('answer', kept.name)) == 1 then
  return refuse('conflict')
end
for _, event in ipairs(request.events) do
  if not free('event', event.id) then return refuse('conflict') end
end
local checkpoint, model, file = request.checkpoint, request.model, request.result_file
if checkpoint and not free('checkpoint', checkpoint.id) then return refuse('conflict') end
if model and not free('model', model.id) then return refuse('conflict') end
if file and taken_by_another(file) then return refuse('conflict') end
if not fits(request.also) then return refuse('conflict') end

-- First the word to other processes, which no one hears before the script is done: it is what access rules are likeliest to
-- forbid, and nothing is written by then. Then the counters, the only ones that could be too large.
local moved = state ~= job.state and '1' or '0'
redis.call('PUBLISH', key('news'), request.origin .. ' ' .. job.id .. ' ' .. moved)
local usage = request.usage
if usage then
  for name, count in pairs(usage.counts) do
    redis.call('HINCRBY', key('usage', tenant, usage.day), name, count)
  end
  redis.call('ZADD', key('days', tenant), usage.day, usage.day)
end

local seq
if request.expected_rev == 0 then
  seq = insert('job', job)
else
  seq = redis.call('ZSCORE', list('job', tenant), job.id)
  redis.call('HSET', at, 'record', job.record)
  if labels ~= table.concat(job.labels, ',') then
    unlabel('job', job.id, tenant, labels)
    label('job', job, seq)
  end
end
redis.call('HSET', at, 'rev', job.rev, 'state', job.state)
line_up(seq, job.lane, job.entry)
count_under(at, job.counted)
if request.erases then
  for _, kind in ipairs({'event', 'checkpoint'}) do
    for _, id in ipairs(redis.call('ZRANGE', list(kind, job.id), 0, -1)) do redis.call('DEL', row(kind, id)) end
    redis.call('DEL', list(kind, job.id))
  end
  for _, name in ipairs(redis.call('SMEMBERS', key('made', job.id))) do
    remove_weighed(string.match(name, '^(%l+) (.*)$'))
  end
end

if kept then
  redis.call('SET', key('answer', kept.name), kept.record)
  redis.call('ZADD', key('answers'), kept.created_at_ms, kept.name)
  redis.call('ZADD', list('answer', kept.tenant), 0, kept.name)
end
for _, event in ipairs(request.events) do insert('event', event) end
if checkpoint then insert('checkpoint', checkpoint) end
if model then insert_weighed('model', model) end
if file then put_file(file) end
local ticket = request.ticket
if ticket then
  redis.call('ZADD', key('outbox'), redis.call('INCR', key('seq')), ticket.name)
  redis.call('HSET', key('tickets'), ticket.name, ticket.record)
  redis.call('SADD', key('tickets', ticket.job), ticket.name)
end
apply(request.also)
return answer('ok')
