-- ARGV: the nonce of this write, 'first' or 'again', the request. A write that has happened is not done again: it answers as it
-- did. Everything is checked before the first write, because Redis undoes nothing when a script ends in an error.
local done, again, request = key('done', ARGV[1]), ARGV[2] == 'again', cjson.decode(ARGV[3])
-- Seconds that an answer is kept: far longer than anybody repeats a request.
local kept_for = 600

local before = redis.call('GET', done)
if before then
  -- Also a write of this connection, so that waiting for replicas waits for all before it.
  redis.call('EXPIRE', done, kept_for)
  return before
end

local function answer(word)
  redis.call('SET', done, word, 'EX', kept_for)
  return word
end

-- Nothing was written. After a repeat the first request may still be on its way, and must then find the same answer.
local function refuse(word)
  if again then return answer(word) end
  return word
end
