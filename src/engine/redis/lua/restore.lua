-- Puts in what another store had. What is there already stays as it is. Tasks come in any order: what one depends on, and who
-- comes first of a serial key, is told when all of them are there.
--
-- KEYS[1] -> the prefix
-- ARGV    -> how many items, each:
--              "t"  id, queue, priority, record, status, epoch, retries, crashes, started or "", finished or "", "" or "=" and the
--                   reason, exit code or "", "" or "=" and the result; how many fields of x, each: name, value; how many
--                   failures, those; how many memos, each: key, value; how many consumed events, each: log, time; how
--                   many pieces of output, each: epoch, attempt, stream, offset, time, data
--              "a"  id, how many parents, each: "C" or "E", "1" if it is satisfied, id
--              "s"  serial key, id of the front or ""
--              "e"  name, "" or "=" and the key, payload, time, nth
--              "q"  queue, "1" if it is paused
--              "c"  name, revision, spec, next or "", "1" if it is paused, last tick or "", last tasks, skipped
-- Returns    for each "r" (restored), "p" (present), or why it is refused

if moved then return refusal() end

local function list(n, width)
  local values = {}
  for i = 1, tonumber(n) * width do values[i] = arg() end
  return values
end

-- The record without its SEQ and its priority, which may have been revised.
local function essence(fixed)
  return string.match(fixed, '^%d+ %d+ (.*)$')
end

-- Who holds the key. What an ended task holds past its end, a live one may take.
local function holder_against(key, is_live)
  local id = call('HGET', P .. 'unique', key)
  local holder = id and load(id)
  if not holder or (is_live and is_end(holder.status)) then return nil end
  return id
end

local function keep_output_of(t, pieces)
  local kept = 0
  for i = 1, #pieces, 6 do
    call('XADD', P .. 'out:' .. t.id, (i + 5) / 6 .. '-0', 'e', pieces[i], 'a', pieces[i + 1], 's', pieces[i + 2], 'o', pieces[i + 3],
      't', pieces[i + 4], 'd', pieces[i + 5])
    kept = kept + #pieces[i + 5]
  end
  if #pieces == 0 then return end
  set(t, 'on', #pieces / 6)
  set(t, 'out', kept)
  bytes = bytes + kept
end

local function consume(t, events)
  for i = 1, #events, 2 do
    local numbers = call('ZRANGEBYSCORE', P .. 'event:' .. events[i], events[i + 1], events[i + 1])
    for _, number in ipairs(numbers) do
      if call('SADD', P .. 'eaten:' .. t.id, number) == 1 then break end
    end
  end
end

-- Where it will be found, in the state that it has.
local function place(t, x, may_be_late)
  if may_be_late and x.exp then call('ZADD', P .. 'late', x.exp, t.id) end
  if t.status == 's' then
    put_due(t, tonumber(x.due) or now)
  elseif t.status == 'w' then
    call('HSET', P .. 'waiting:' .. x.we, t.id, x.wk or '')
    if x.due then put_due(t, tonumber(x.due)) end
  elseif t.status == 'b' then
    -- Until its parents are told of, it waits for one that nobody can satisfy.
    set(t, 'bl', 1)
  elseif t.status == 'p' and t.parked then
    call('ZADD', P .. 'parked:' .. x.sk, t.seq, t.id)
  elseif t.status == 'p' then
    append(P .. 'fifo:' .. t.priority .. ':' .. t.queue, t.seq)
    call('ZADD', P .. 'ready', t.priority, t.priority .. ' ' .. t.queue)
    ring(t.queue)
  else
    -- They come in push order, and are pruned by when they ended.
    call('ZADD', P .. 'spared:' .. t.status .. ':' .. t.queue, t.finishedAt, text(t.seq) .. ' ' .. text(t.finishedAt))
  end
end

local function restore_task()
  local id, queue, priority, record, status = arg(), arg(), arg(), arg(), arg()
  local epoch, retries, crashes = tonumber(arg()), tonumber(arg()), tonumber(arg())
  local started, finished, reason, exit, result = tonumber(arg()), tonumber(arg()), arg(), tonumber(arg()), arg()
  local fields, failures, memos = list(arg(), 2), list(arg(), 1), list(arg(), 2)
  local events, pieces = list(arg(), 2), list(arg(), 6)

  local fixed = call('HGET', TASK, id)
  if fixed then return essence(fixed) == essence('0 ' .. record) and 'p' or 'another task has its id' end
  local x = {}
  for i = 1, #fields, 2 do x[fields[i]] = fields[i + 1] end
  local is_live = not is_end(status)
  local holder = x.uk and holder_against(x.uk, is_live)
  if holder and is_live then return holder .. ' holds its unique key' end

  local seq = register({ id, record }, 1)
  local t = {
    id = id, status = status, extra = false, kids = false, parked = status == 'p' and x.sk ~= nil, started = false, epoch = epoch,
    retry = retries, crashes = crashes, priority = tonumber(priority), seq = seq, queue = queue, startedAt = started,
    finishedAt = not is_live and (finished or now) or nil, exit = exit,
  }
  tasks[id] = t
  if reason ~= '' then t.reason = string.sub(reason, 2) end
  if result ~= '' then
    t.length = #result - 1
    bytes = bytes + t.length
    local data = string.sub(result, 2)
    if t.length <= INLINE then t.result = data else call('HSET', P .. 'result', id, data) end
  end
  count(t, status, 1)
  mark(P .. 'of:' .. queue .. ':', seq, 1)
  mark(P .. 'is:' .. status .. ':', seq, 1)
  for name, value in pairs(x) do
    if name ~= 'un' then set(t, name, value) end
  end
  if x.un then set_unserved(t, true) end
  if x.uk and (is_live or (not holder and (tonumber(x.uu) or 0) > now)) then call('HSET', P .. 'unique', x.uk, id) end
  many('RPUSH', P .. 'failures:' .. id, failures)
  for i = 1, #memos, 2 do call('HSET', P .. 'memo:' .. id, memos[i], (i - 1) / 2 .. ' ' .. memos[i + 1]) end
  consume(t, events)
  keep_output_of(t, pieces)
  place(t, x, is_live and status ~= 'w' and not (status == 'b' and epoch > 0))
  -- A task of which there is no more to know has no state.
  if status ~= 'p' or t.extra or epoch > 0 or started or t.reason then save(t) end
  return 'r'
end

local function restore_parents()
  local id = arg()
  local parents = list(arg(), 3)
  local t = load(id)
  if not t then return 'the task itself is not there' end
  if call('EXISTS', P .. 'deps:' .. id) == 1 then return 'p' end
  local open, hopeless, missing = 0, false, {}
  for i = 1, #parents, 3 do
    local on, satisfied, parent = parents[i], parents[i + 1] == '1', load(parents[i + 2])
    if parent then
      satisfied = satisfied or parent.status == 'c' or (is_end(parent.status) and on == 'E')
      if not satisfied and is_end(parent.status) then hopeless = true end
      if not satisfied then open = open + 1 end
      adopt(parent, on, satisfied, t)
    elseif not satisfied then
      missing[#missing + 1] = parents[i + 2]
    end
  end
  set(t, 'bl', open + #missing)
  if t.status ~= 'b' then return 'r' end
  local run = x_number(t, 'run')
  if hopeless then
    cancel(t, 'parent')
  elseif #missing > 0 then
    return 'it waits for ' .. table.concat(missing, ', ') .. ', which is not there'
  elseif open > 0 then
    return 'r'
  elseif run and run > now then
    become_scheduled(t, run)
  else
    become_pending(t)
  end
  return 'r'
end

-- The front that is named, if it lives; else the first of those that wait.
local function front_for(key, id)
  local named = id ~= '' and load(id)
  if named and not is_end(named.status) then return named end
  for _, other in ipairs(call('ZRANGE', P .. 'parked:' .. key, 0, -1)) do
    local t = load(other)
    if t and t.status == 'p' and t.parked then return t end
  end
end

local function restore_front()
  local key, id = arg(), arg()
  if call('HEXISTS', P .. 'serial', key) == 1 then return 'p' end
  local front = front_for(key, id)
  if not front then return 'p' end
  call('HSET', P .. 'serial', key, front.id)
  if front.parked then
    call('ZREM', P .. 'parked:' .. key, front.id)
    front.parked = false
    save(front)
    make_ready(front)
  end
  return 'r'
end

local function restore_event()
  local name, key, payload, time, nth = arg(), arg(), arg(), arg(), tonumber(arg())
  local log = key == '' and name or name .. '\n' .. string.sub(key, 2)
  for _, number in ipairs(call('ZRANGEBYSCORE', P .. 'event:' .. log, time, time)) do
    if call('HGET', P .. 'payload', number) == payload then nth = nth - 1 end
  end
  if nth <= 0 then return 'p' end
  local member = string.format('%015.0f', call('HINCRBY', FACT, 'event', 1))
  for _, one in ipairs(key == '' and { name } or { name, log }) do
    call('ZADD', P .. 'event:' .. one, time, member)
    call('SADD', P .. 'eventnames', one)
    call('ZADD', P .. 'eventages', 'LT', time, one)
  end
  call('HSET', P .. 'payload', member, payload)
  return 'r'
end

local function restore_queue()
  local queue, paused = arg(), arg()
  return paused == '1' and call('SADD', P .. 'paused', queue) == 1 and 'r' or 'p'
end

local function restore_cron()
  local name, revision, spec, following, paused = arg(), tonumber(arg()), arg(), arg(), arg()
  local last_tick, last_tasks, skipped = arg(), arg(), arg()
  local key = P .. 'cron:' .. name
  local known, present = unpack(call('HMGET', key, 'revision', 'spec'))
  if present then return present == spec and 'p' or 'another entry has its name' end
  -- The revision outlives a removal, so that it never repeats.
  if known and tonumber(known) >= revision then revision = tonumber(known) + 1 end
  call('HSET', key, 'revision', text(revision), 'spec', spec, 'paused', paused, 'skipped', skipped)
  if following ~= '' then call('HSET', key, 'next', following) end
  if last_tick ~= '' then call('HSET', key, 'lastTick', last_tick) end
  if last_tasks ~= '' then call('HSET', key, 'lastTasks', last_tasks) end
  call('SADD', P .. 'crons', name)
  if following ~= '' and paused ~= '1' then call('ZADD', P .. 'crondue', following, name) end
  return 'r'
end

local restorers = {
  t = restore_task, a = restore_parents, s = restore_front, e = restore_event, q = restore_queue, c = restore_cron,
}
local outcomes = {}
for i = 1, tonumber(arg()) do outcomes[i] = restorers[arg()]() end
flush()
return outcomes
