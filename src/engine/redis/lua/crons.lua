-- Cron entries: all of them, one, or those that are due.
--
-- KEYS[1] -> the prefix
-- ARGV    -> "all"; "one", name; or "due", limit
-- Returns    now, milliseconds until the next that is not told or -1, for each its name and the fields of its hash

local which = arg()
local names, wake_in = {}, -1
if which == 'all' then
  names = call('SMEMBERS', P .. 'crons')
elseif which == 'one' then
  names = { arg() }
else
  local limit = tonumber(arg())
  local planned = call('ZRANGE', P .. 'crondue', 0, limit, 'WITHSCORES')
  for i = 1, #planned, 2 do
    local at_ = tonumber(planned[i + 1])
    if at_ <= now and #names < limit then
      names[#names + 1] = planned[i]
    else
      wake_in = math.max(0, at_ - now)
      break
    end
  end
end
local found = {}
for _, name in ipairs(names) do
  local fields = call('HGETALL', P .. 'cron:' .. name)
  if #fields > 0 and call('HEXISTS', P .. 'cron:' .. name, 'spec') == 1 then
    found[#found + 1] = name
    found[#found + 1] = fields
  end
end
return { now, wake_in, found }
