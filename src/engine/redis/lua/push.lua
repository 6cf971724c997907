-- Stores tasks in order, up to and including the first that is refused.
--
-- KEYS[1] -> the prefix
-- ARGV    -> how many groups, then each group:
--              "=" QUEUE PRIORITY N, then N times ID RECORD: tasks of which there is no more to know; or
--              "+" and one task as push_next reads it
-- Returns   "all" if every task was created and is pending; else for each task its outcome and id, as push_task returns them

if moved then return refusal() end

local outcomes, all = {}, true

local function say(outcome, id)
  outcomes[#outcomes + 1], outcomes[#outcomes + 2] = outcome, id
  if outcome ~= 'p' then all = false end
end

-- Many alike in a few commands.
local function push_group(queue, priority, n)
  local ids, records, seen = {}, {}, {}
  for i = 1, n do ids[i], records[i] = arg(), arg() end
  local existing = call('HMGET', TASK, unpack(ids))
  local created, made = {}, 0
  for i = 1, n do
    if existing[i] or seen[ids[i]] then
      say('d', ids[i])
    else
      seen[ids[i]] = true
      created[2 * made + 1], created[2 * made + 2] = ids[i], records[i]
      made = made + 1
      tasks[ids[i]] = nil
      say('p', ids[i])
    end
  end
  if made > 0 then enqueue(queue, priority, register(created, made), made) end
end

for _ = 1, tonumber(arg()) do
  if arg() == '=' then
    push_group(arg(), arg(), tonumber(arg()))
  else
    local outcome, id = push_next()
    say(outcome, id)
    if outcome == '?' then break end
  end
end
flush()
return all and { 'all' } or outcomes
