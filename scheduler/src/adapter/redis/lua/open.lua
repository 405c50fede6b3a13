-- ARGV: this program's version, an id for a new record, the id of the record that is expected or ''. Gives version and id.
local meta = key('meta')
if redis.call('EXISTS', meta) == 0 then
  if ARGV[3] ~= '' then return {'', ''} end
  redis.call('HSET', meta, 'schema_version', ARGV[1], 'id', ARGV[2])
end
return redis.call('HMGET', meta, 'schema_version', 'id')
