-- Stores a cron entry if the stored one still has the expected revision, or removes it.
--
-- KEYS[1] -> the prefix
-- ARGV    -> name, expected revision or "", "" to remove or "=" and the spec, next tick or "", "1" if it is paused
-- Returns    "ok" or "changed"

local name, expected, spec, following, paused = arg(), arg(), arg(), arg(), arg()
if moved and spec ~= '' then return refusal() end
local key = P .. 'cron:' .. name
local revision, present = unpack(call('HMGET', key, 'revision', 'spec'))
if (present and revision or '') ~= expected then return 'changed' end
-- The revision outlives a removal, so that it never repeats.
if spec == '' or not present then call('HDEL', key, 'spec', 'next', 'paused', 'lastTick', 'lastTasks', 'skipped') end
call('HINCRBY', key, 'revision', 1)
call('ZREM', P .. 'crondue', name)
if spec == '' then
  call('SREM', P .. 'crons', name)
  return 'ok'
end
call('HSET', key, 'spec', string.sub(spec, 2), 'paused', paused)
if following == '' then call('HDEL', key, 'next') else call('HSET', key, 'next', following) end
call('SADD', P .. 'crons', name)
if following ~= '' and paused ~= '1' then call('ZADD', P .. 'crondue', following, name) end
return 'ok'
