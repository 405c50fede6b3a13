-- A part of a list: of what is in all of its labels, after an item or a place. Gives whether the item is there, the place to go
-- on from ('' at the end), and the records.
local request = cjson.decode(ARGV[1])
local whole = list(request.kind, request.scope)
local from = request.from
if request.after then
  from = redis.call('ZSCORE', whole, request.after)
  if not from then return {'unknown', ''} end
end

-- The shortest list is walked, the others are asked.
local walked, asked, shortest = whole, {}, math.huge
for _, name in ipairs(request.labels) do
  local one = labelled(request.kind, name, request.scope)
  local length = redis.call('ZCARD', one)
  if length < shortest then
    if walked ~= whole then table.insert(asked, walked) end
    walked, shortest = one, length
  else
    table.insert(asked, one)
  end
end

local ids
if request.descending then
  ids = redis.call('ZREVRANGEBYSCORE', walked, from and '(' .. from or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, request.walk)
else
  ids = redis.call('ZRANGEBYSCORE', walked, from and '(' .. from or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, request.walk)
end
local page = {'known', ''}
for place = 1, #ids, 2 do
  local wanted = true
  for _, one in ipairs(asked) do
    wanted = wanted and redis.call('ZSCORE', one, ids[place])
  end
  page[2] = ids[place + 1]
  if wanted then
    table.insert(page, redis.call('HGET', row(request.kind, ids[place]), 'record'))
    if #page == request.limit + 2 then return page end
  end
end
if #ids < 2 * request.walk then page[2] = '' end
return page
