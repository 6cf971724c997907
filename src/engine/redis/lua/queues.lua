-- What there is in each queue.
--
-- KEYS[1] -> the prefix
-- Returns    now, depth as it is stored, paused queues, and queue, created (when the oldest pending task was) …

local depth_now = call('HGETALL', P .. 'depth')
local oldest = {}

local function note_oldest(queue, id)
  local created = string.match(call('HGET', TASK, id) or '', '^%S+ %S+ %S+ (%d+)')
  oldest[#oldest + 1] = queue
  oldest[#oldest + 1] = created or text(now)
end

for i = 1, #depth_now, 2 do
  local queue, priority = string.match(depth_now[i], '^(%S+) p (%d+)$')
  if queue then
    -- The head of each level is its oldest, or nearly so: a retried task stands where it was pushed.
    local pushed = call('LRANGE', P .. 'fifo:' .. priority .. ':' .. queue, 0, 20)
    local returned = call('ZRANGE', P .. 'back:' .. priority .. ':' .. queue, 0, 20)
    for _, seqs in ipairs({ pushed, returned }) do
      for _, seq in ipairs(seqs) do
        local id = id_of(tonumber(seq))
        local t = id and load(id)
        if t and t.status == 'p' and not t.parked and t.priority == tonumber(priority) and t.seq == tonumber(seq) then
          note_oldest(queue, id)
          break
        end
      end
    end
    -- What a broker has.
    for _, id in ipairs(call('ZRANGE', P .. 'sent:' .. queue, 0, 20)) do
      local t = load(id)
      if t and t.status == 'p' and not t.parked then
        note_oldest(queue, id)
        break
      end
    end
  end
end
return { now, depth_now, call('SMEMBERS', P .. 'paused'), oldest }
