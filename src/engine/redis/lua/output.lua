-- What runs write. Needs base.lua.

-- Reads one piece of output from the arguments, stores it, and forgets what it replaces.
local function keep_output(t, epoch, attempt)
  local stream, offset, data, from, to = arg(), arg(), arg(), arg(), arg()
  local log = P .. 'out:' .. t.id
  local kept = #data
  local n = (x_number(t, 'on') or 0) + 1
  set(t, 'on', n)
  call('XADD', log, text(n) .. '-0', 'e', epoch, 'a', attempt, 's', stream, 'o', offset, 't', now, 'd', data)
  if from ~= '' then
    for _, entry in ipairs(call('XRANGE', log, '-', '+')) do
      local f = entry[2]
      local start, length = tonumber(f[8]), #f[12]
      local is_its = tonumber(f[2]) == epoch and f[6] == stream
      if is_its and start >= tonumber(from) and start + length <= tonumber(to) then
        call('XDEL', log, entry[1])
        kept = kept - length
      end
    end
  end
  bytes = bytes + kept
  set(t, 'out', (x_number(t, 'out') or 0) + kept)
end
