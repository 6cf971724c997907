-- Pauses or resumes a queue.
--
-- KEYS[1] -> the prefix
-- ARGV    -> queue, "1" to pause
-- Returns    nothing

if moved then return refusal() end

local queue = arg()
if arg() == '1' then
  call('SADD', P .. 'paused', queue)
else
  call('SREM', P .. 'paused', queue)
  ring(queue)
  flush()
end
return 0
