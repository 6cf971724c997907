-- Takes documents of strangers in as tasks. They are read by the core and not moved before: each is taken from the head of the
-- inbox in the step that pushes its task, and only if it is still there. Nobody can lose one on the way, and of several workers
-- that read the same ones at once one takes each.
--
-- KEYS[1] -> the prefix
-- ARGV    -> queue, how many documents, each: the SHA-1 of its text, "0" if it is no task, else "1" and the task as push_next
--            reads it
-- Returns    how many were taken

if moved then return refusal() end

local queue = arg()
local inbox, refused = P .. 'inbox:' .. queue, P .. 'refused:' .. queue
local taken = 0
for _ = 1, tonumber(arg()) do
  local sha = arg()
  local document = call('LINDEX', inbox, 0)
  -- Somebody else has taken it: what follows is theirs too.
  if not document or redis.sha1hex(document) ~= sha then break end
  call('LPOP', inbox)
  taken = taken + 1
  if arg() == '0' then
    call('HINCRBY', FACT, 'quarantined', 1)
    -- The last thousand are kept to be looked at.
    call('RPUSH', refused, document)
    call('LTRIM', refused, -1000, -1)
    call('SADD', P .. 'refusals', queue)
  else
    push_next()
  end
end
flush()
return taken
