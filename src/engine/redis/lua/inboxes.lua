-- Of the queues that have tasks, or had, those in whose inboxes documents lie.
--
-- KEYS[1] -> the prefix
-- Returns    their names

local found, seen = {}, {}
for _, field in ipairs(call('HKEYS', P .. 'depth')) do
  local queue = string.match(field, '^%S+')
  if queue and not seen[queue] then
    seen[queue] = true
    if has_documents(queue) then found[#found + 1] = queue end
  end
end
return found
