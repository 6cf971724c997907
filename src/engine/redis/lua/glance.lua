-- For who follows a task: whether anything is new, and what was written since.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id, the last version seen or "", "1" with output, the last piece seen
-- Returns    0 if nothing is new; else the version, the task as tell_task tells it or 0, the last piece, pieces (six values each)

local id, seen, with_output, cursor = arg(), arg(), arg(), arg()
local state = call('HGET', STATE, id)
local progress, message, pieces = unpack(call('HMGET', P .. 'x:' .. id, 'pg', 'pm', 'on'))
local version = redis.sha1hex((state or (call('HEXISTS', TASK, id) == 1 and 'p' or '')) .. '\n' .. (progress or '') .. '\n' .. (message or '')
  .. '\n' .. (with_output == '1' and pieces or ''))
if version == seen then return 0 end
local found, output = {}, {}
if with_output == '1' then
  local entries = call('XRANGE', P .. 'out:' .. id, '(' .. cursor .. '-0', '+', 'COUNT', 1000)
  for _, entry in ipairs(entries) do
    for k = 2, 12, 2 do output[#output + 1] = entry[2][k] end
  end
  if #entries > 0 then cursor = string.match(entries[#entries][1], '^%d+') end
end
tell_task(found, id, true)
return { version, found[1], cursor, output }
