-- Changes that people ask for. Needs base.lua, life.lua and erase.lua.

local function cancel_any(t, reason)
  if is_end(t.status) then return false end
  if t.status == 'r' then
    -- Cancelled at once, whatever the run returns; its worker hears of it and kills it.
    call('RPUSH', P .. 'notices:' .. t.worker, text(t.epoch) .. ' ' .. t.id)
    bell(t.worker, 'orders')
  end
  cancel(t, reason)
  return true
end

local function drop_result(t)
  bytes = bytes - (t.length or 0)
  if t.length and not t.result then call('HDEL', P .. 'result', t.id) end
  t.length, t.result, t.exit = nil, nil, nil
end

local function retry(t)
  if not is_end(t.status) then return false end
  local holder = holder_in_the_way(t)
  if holder then return false, holder end
  local open, dead = 0, nil
  if t.extra then open, dead = open_parents(t) end
  if not open then return false, dead end
  local was = t.status
  drop_result(t)
  t.retry, t.crashes, t.reason, t.startedAt, t.finishedAt = 0, 0, nil, nil, nil
  local x = extra(t)
  if x then
    -- The failures stay: they are its history.
    for _, field in ipairs({ 'run', 'exp', 'pp', 'ty', 'pg', 'pm', 'fl' }) do set(t, field, nil) end
    if x.uk then call('HSET', P .. 'unique', x.uk, t.id) end
  end
  if open > 0 then become_blocked(t, open) else become_pending(t) end
  if t.kids and was ~= 'c' then start_cascade(t, 'r') end
  return true
end

local function remove(t)
  if t.status == 'r' then return false end
  -- Its children end with it.
  if t.kids and not is_end(t.status) then start_cascade(t, 'n') end
  erase(t)
  return true
end

local function reprioritise(t, priority)
  if is_end(t.status) then return false end
  local is_ready = t.status == 'p' and not t.parked
  if is_ready then leave_ready(t) end
  count(t, t.status, -1)
  t.priority = priority
  count(t, t.status, 1)
  save(t)
  if is_ready then make_ready(t) end
  return true
end

-- Applies one change. Returns whether it was allowed, and who was in the way.
local function revise(t, change, value)
  if change == 'cancel' then return cancel_any(t, value) end
  if change == 'retry' then return retry(t) end
  if change == 'delete' then return remove(t) end
  return reprioritise(t, tonumber(value))
end
