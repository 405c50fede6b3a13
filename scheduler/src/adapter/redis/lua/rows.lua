-- Rows claimed by this very request, so that it cannot claim one twice.
local claimed = {}

local function free(kind, id)
  local at = row(kind, id)
  if claimed[at] or redis.call('EXISTS', at) == 1 then return false end
  claimed[at] = true
  return true
end

local function label(kind, r, seq)
  for _, name in ipairs(r.labels) do
    redis.call('ZADD', labelled(kind, name, r.scope), seq, r.id)
  end
  redis.call('HSET', row(kind, r.id), 'labels', table.concat(r.labels, ','))
end

local function unlabel(kind, id, scope, labels)
  for name in string.gmatch(labels or '', '[^,]+') do
    redis.call('ZREM', labelled(kind, name, scope), id)
  end
end

-- Adds a row at the end of its list; gives its place.
local function insert(kind, r)
  local seq = redis.call('INCR', key('seq'))
  redis.call('HSET', row(kind, r.id), 'scope', r.scope, 'record', r.record)
  redis.call('ZADD', list(kind, r.scope), seq, r.id)
  if r.labels then label(kind, r, seq) end
  return seq
end

local function remove(kind, id)
  local at = row(kind, id)
  local scope, labels = unpack(redis.call('HMGET', at, 'scope', 'labels'))
  unlabel(kind, id, scope, labels)
  redis.call('ZREM', list(kind, scope), id)
  redis.call('DEL', at)
end

-- Bytes of a tenant, in two counters: one of 64 bits with a sign could overflow.
local function weigh(tenant, low, high)
  redis.call('HINCRBY', key('bytes', tenant), 'low', low)
  redis.call('HINCRBY', key('bytes', tenant), 'high', high)
end

-- A file or a model, which a job may have made.
local function insert_weighed(kind, r)
  insert(kind, r)
  redis.call('HSET', row(kind, r.id), 'low', r.low, 'high', r.high)
  weigh(r.scope, r.low, r.high)
  if r.job then
    redis.call('HSET', row(kind, r.id), 'job', r.job)
    redis.call('SADD', key('made', r.job), kind .. ' ' .. r.id)
  end
end

local function remove_weighed(kind, id)
  local tenant, low, high, job = unpack(redis.call('HMGET', row(kind, id), 'scope', 'low', 'high', 'job'))
  -- Not -low: '-0' is no integer to Redis.
  weigh(tenant, 0 - low, 0 - high)
  if job then redis.call('SREM', key('made', job), kind .. ' ' .. id) end
  redis.call('ZREM', key('expiring'), id)
  remove(kind, id)
end

-- Puts a job, which is known by its place, into one of the lists that the scheduler's loops work through, or into none.
local function line_up(seq, lane, entry)
  for _, name in ipairs({'validating', 'queued', 'busy'}) do
    redis.call('ZREMRANGEBYSCORE', key('lane', name), seq, seq)
    if name == lane then redis.call('ZADD', key('lane', name), seq, entry) end
  end
end

-- Counts a job under its state and pool, or under nothing once it has ended. One that an earlier program wrote counts from its next
-- change on.
local function count_under(at, counted)
  local before = redis.call('HGET', at, 'counted')
  if before == counted or not (before or counted) then return end
  if before then
    if redis.call('HINCRBY', key('job_counts'), before, -1) == 0 then redis.call('HDEL', key('job_counts'), before) end
    redis.call('HDEL', at, 'counted')
  end
  if counted then
    redis.call('HINCRBY', key('job_counts'), counted, 1)
    redis.call('HSET', at, 'counted', counted)
  end
end

-- Whether another file has this id.
local function taken_by_another(file)
  local there = redis.call('HGET', row('file', file.id), 'record')
  return there and there ~= file.record
end

-- Adds a file, or finds it there.
local function put_file(file)
  if redis.call('EXISTS', row('file', file.id)) == 1 then return end
  insert_weighed('file', file)
  if file.expires_at_ms then
    redis.call('ZADD', key('expiring'), file.expires_at_ms, file.id)
  end
end
