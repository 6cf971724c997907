-- What a run wrote: the last run that wrote anything, or the last of one attempt.
--
-- KEYS[1] -> the prefix
-- ARGV    -> id, attempt or ""
-- Returns    for each piece: epoch, attempt, stream, offset, time, data

local log, attempt = P .. 'out:' .. arg(), arg()
local entries = call('XRANGE', log, '-', '+')
local epoch
for _, entry in ipairs(entries) do
  if attempt == '' or entry[2][4] == attempt then epoch = entry[2][2] end
end
local pieces = {}
for _, entry in ipairs(entries) do
  local f = entry[2]
  if f[2] == epoch then
    for k = 2, 12, 2 do pieces[#pieces + 1] = f[k] end
  end
end
return pieces
