local function kind_of(document) return 'doc.' .. document.kind end

-- Whether every document is at the revision that the change expects.
local function fits(change)
  local revs = {}
  for _, write in ipairs(change.writes) do
    local at = row(kind_of(write), write.id)
    local rev = revs[at] or tonumber(redis.call('HGET', at, 'rev') or 0)
    if write.record then
      if rev + 1 ~= write.rev then return false end
      revs[at] = write.rev
    else
      if rev == 0 or rev ~= write.rev then return false end
      revs[at] = 0
    end
  end
  return true
end

local function put_document(document)
  local kind = kind_of(document)
  local at = row(kind, document.id)
  if document.rev == 1 then
    insert(kind, document)
    redis.call('HINCRBY', key('counts'), kind, 1)
  else
    local scope = redis.call('HGET', at, 'scope')
    if scope ~= document.scope then
      local seq = redis.call('ZSCORE', list(kind, scope), document.id)
      redis.call('ZREM', list(kind, scope), document.id)
      redis.call('ZADD', list(kind, document.scope), seq, document.id)
    end
    redis.call('HSET', at, 'scope', document.scope, 'record', document.record)
  end
  redis.call('HSET', at, 'rev', document.rev)
end

-- Continues the tenant's chain.
local function note(entry)
  local log, head = key('audit', entry.tenant), key('audit', entry.tenant, 'head')
  local prev = redis.call('GET', head) or string.rep('0', 64)
  local hash = sha256(prev .. entry.canonical)
  local seq = redis.call('LLEN', log) + 1
  local record = '{"seq":%d,"prev":"%s","hash":"%s","entry":'
  redis.call('RPUSH', log, string.format(record, seq, prev, hash) .. entry.canonical .. '}')
  redis.call('SET', head, hash)
end

-- Makes a change that fits.
local function apply(change)
  for _, write in ipairs(change.writes) do
    if write.record then
      put_document(write)
    else
      remove(kind_of(write), write.id)
      redis.call('HINCRBY', key('counts'), kind_of(write), -1)
    end
  end
  for _, entry in ipairs(change.audit) do note(entry) end
end
