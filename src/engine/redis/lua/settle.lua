-- Applies outcomes, each fenced by its lease; then claims.
--
-- KEYS[1] -> the prefix
-- ARGV    -> worker, session, how many groups of settlements; each group:
--            "=" how many, for each: id, epoch, result: all completed by this worker, and there is no more to say of them; or
--            "+" one settlement: id, epoch, worker ("" for the same), verb, and by verb
--              "c"  data, exit code or "", full length or "", "" or "=" and why it was skipped
--              "r"  instant, failure, its kind       "p"  instant, reason, "" or "=" and the tally
--              "w"  event, "" or "=" and the key, instant or "", memo
--              "a"  how many tasks it waits for, their ids
--              "b"  (given back)                     "k"  failure (a crash)
--              "f"  failure, its kind                "x"  reason
--            then how many pieces of output, each: stream, offset, data, forget from or "", to;
--            then how many tasks it spawns, each as push_next reads it.
--            Then how many queues are claimed from, or "" for no claim; for each: name, limit; then in all: limit, how many
--            start at once, bytes.
-- Returns    standing, now, wakeIn or -1, numbers of the settlements that were lost, claims (three values each, see
--            tell_claim), the asked queues in whose inbox a document waits

local worker, session = arg(), arg()
local standing = standing_of(worker, session)
local lost = {}

local function keep_failure(t, failure)
  local list = P .. 'failures:' .. t.id
  call('RPUSH', list, failure)
  call('LTRIM', list, -10, -1)
  set(t, 'fc', (x_number(t, 'fc') or 0) + 1)
end

local function keep_result(t, data)
  t.length = #data
  bytes = bytes + #data
  if #data <= INLINE then t.result = data else call('HSET', P .. 'result', t.id, data) end
end

local function wait_for(t, event, key, until_, memo)
  local number = arrived(t, event, key)
  if number then
    store_memo(t, memo, eat(t, number))
    become_pending(t, true)
    return
  end
  set(t, 'we', event)
  set(t, 'wk', key)
  set(t, 'wm', memo)
  call('HSET', P .. 'waiting:' .. event, t.id, key)
  release(t)
  local at = instant(until_)
  set(t, 'run', at)
  if at then put_due(t, at) end
  shift(t, 'w')
end

-- Depends anew on each of these tasks: one that was satisfied before may run again by now.
local function block_behind(t, ids)
  local blockers, seen = 0, {}
  for _, id in ipairs(ids) do
    local parent = not seen[id] and id ~= t.id and load(id)
    seen[id] = true
    if parent then
      local open = not is_end(parent.status)
      if open then blockers = blockers + 1 end
      adopt(parent, 'E', not open, t)
    end
  end
  if blockers == 0 then
    become_pending(t, true)
    return
  end
  set(t, 'bl', blockers)
  release(t)
  shift(t, 'b')
end

local apply = {
  c = function(t)
    local data, exit, full, skipped = arg(), arg(), arg(), arg()
    keep_result(t, data)
    t.exit = tonumber(exit)
    t.reason = skipped ~= '' and 'skipped: ' .. string.sub(skipped, 2) or nil
    if full ~= '' then set(t, 'fl', full) end
    finish(t, 'c')
  end,
  r = function(t)
    local when, failure, kind = arg(), arg(), arg()
    keep_failure(t, failure)
    set(t, 'ty', nil)
    t.retry, t.reason = t.retry + 1, kind
    become_scheduled(t, instant(when))
  end,
  p = function(t)
    local when, reason, tally = arg(), arg(), arg()
    set(t, 'pp', (x_number(t, 'pp') or 0) + 1)
    set(t, 'ty', tally ~= '' and string.sub(tally, 2) or nil)
    set_unserved(t, reason == 'unserved')
    t.reason = reason
    become_scheduled(t, instant(when))
  end,
  w = function(t)
    wait_for(t, arg(), arg(), arg(), arg())
  end,
  a = function(t)
    local ids = {}
    for i = 1, tonumber(arg()) do ids[i] = arg() end
    return function() block_behind(t, ids) end
  end,
  b = function(t)
    become_pending(t)
  end,
  k = function(t)
    keep_failure(t, arg())
    t.crashes = t.crashes + 1
    become_pending(t)
  end,
  f = function(t)
    local failure, kind = arg(), arg()
    keep_failure(t, failure)
    t.reason = kind
    finish(t, 'f')
  end,
  x = function(t)
    cancel(t, arg())
  end,
}

-- How many arguments each verb has, to pass over those of a lost settlement.
local lengths = { c = 4, r = 3, p = 3, w = 4, b = 0, k = 1, f = 2, x = 1 }

local function skip(verb)
  local n = verb == 'a' and tonumber(arg()) or lengths[verb]
  at = at + n
  local pieces = tonumber(arg())
  at = at + 5 * pieces
  for _ = 1, tonumber(arg()) do
    at = at + 4
    local fields = tonumber(arg())
    at = at + 2 * fields
  end
end

local function is_held(t, epoch, holder)
  return t and t.status == 'r' and t.epoch == epoch and t.worker == holder
end

-- Of runs of this worker of which there is no more to know: what their state holds behind SEQ and start (base.lua, LIVE) -> their
-- queue, and what the end puts in its place; false of other runs.
local plain_rests = {}

local function learn(state, rest)
  local fine, _, flags, _, _, _, _, _, _, queue, its, reason = pcall(unpack_text, LIVE, state)
  local known = false
  if fine and its == worker and reason == '' then
    known = { queue = queue, ended = pack('>Bc0BI2I6i4', #queue, queue, 0, 0, now, 0) }
  end
  plain_rests[rest] = known
  return known
end

local sub, byte = string.sub, string.byte
local RUNNING, RESULT_HERE = byte('r'), string.char(64)
local packed_lengths = {}

-- The common end: nobody depends on the task, and it has nothing to let go. Returns whether it was applied; if not, the long way
-- finds out why.
local function complete_plain(id, epoch, data)
  local state = raw[id]
  if not state or tasks[id] or #data > INLINE then return false end
  local status, flags, e1, e2, e3, e4, _, _, _, _, _, _, priority, s1, s2, s3, s4, s5, s6 = byte(state, 1, 19)
  if status ~= RUNNING or (flags ~= 0 and flags ~= 8) or not s6 then return false end
  if ((e1 * 256 + e2) * 256 + e3) * 256 + e4 ~= epoch then return false end
  local rest = sub(state, 26)
  local known = plain_rests[rest]
  if known == nil then known = learn(state, rest) end
  if not known then return false end
  local length = packed_lengths[#data]
  if not length then
    length = pack('>I4', #data)
    packed_lengths[#data] = length
  end
  write(id, 'c' .. RESULT_HERE .. sub(state, 3, 25) .. known.ended .. length .. data)
  local seq = ((((s1 * 256 + s2) * 256 + s3) * 256 + s4) * 256 + s5) * 256 + s6
  local seq_text = text(seq)
  collect(released, worker, seq_text)
  note_end('c', known.queue, seq_text)
  shift_soon(known.queue, priority, seq, 'r', 'c')
  bytes = bytes + #data
  return true
end

-- The states of the next `n` that are completed, in one command.
local function fetch_states(n)
  for i = 0, n - 1, 1000 do
    local ids = {}
    for k = i, math.min(i + 1000, n) - 1 do ids[k - i + 1] = ARGV[at + 3 * k + 1] end
    for k, state in ipairs(call('HMGET', STATE, unpack(ids))) do
      if state and raw[ids[k]] == nil then raw[ids[k]] = state end
    end
  end
end

local function complete_next(number)
  local id, epoch, data = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  at = at + 3
  if complete_plain(id, epoch, data) then return end
  shift_collected()
  local t = load(id)
  if not is_held(t, epoch, worker) then
    lost[#lost + 1] = number
    return
  end
  keep_result(t, data)
  finish(t, 'c')
end

local function settle_next(number)
  local id, epoch, holder, verb = arg(), tonumber(arg()), arg(), arg()
  if holder == '' then holder = worker end
  shift_collected()
  local t = standing == 'live' and load(id)
  if not is_held(t, epoch, holder) then
    lost[#lost + 1] = number
    skip(verb)
    return
  end
  -- What it wrote belongs to the run that ends here.
  local attempt = t.retry + t.crashes + 1
  local later = apply[verb](t)
  for _ = 1, tonumber(arg()) do keep_output(t, epoch, attempt) end
  for _ = 1, tonumber(arg()) do push_next() end
  if later then later() end
end

local settled = 0
for _ = 1, tonumber(arg()) do
  if arg() == '+' then
    settled = settled + 1
    settle_next(settled)
  else
    local n = tonumber(arg())
    if standing == 'live' then
      fetch_states(n)
      for i = 1, n do complete_next(settled + i) end
    else
      for i = 1, n do lost[#lost + 1] = settled + i end
      at = at + 3 * n
    end
    settled = settled + n
  end
end

local queues = arg()
-- Of a store that moves away nothing more is claimed; what runs may end.
if moved and settled == 0 then return refusal() end
local wake_in, waiting = -1, {}
if standing ~= 'live' or queues == '' or moved then
  if standing == 'live' then drain_cascades(500) end
else
  local names = {}
  for i = 1, tonumber(queues) do names[i] = { name = arg(), limit = tonumber(arg()) } end
  local limit = tonumber(arg())
  demand.worker, demand.starting, demand.limit_bytes = worker, tonumber(arg()), tonumber(arg())
  local more, late = promote_due(500), expire_late(500)
  local cascading = drain_cascades(500)
  flush_lists()
  -- With more late tasks than one portion, some of those that are ready must not be started any more.
  for _, queue in ipairs(late and {} or names) do
    local room = math.min(queue.limit, limit - demand.taken)
    if room > 0 and not demand.met then
      if queue.name == '*' then lease_any(room) else lease_queue(queue.name, room) end
    end
  end
  -- What is left wakes another worker; where nothing is, nobody is to be woken for it.
  for _, queue in ipairs(names) do
    if has_ready(queue.name) then
      ring(queue.name)
    else
      rung[queue.name] = nil
      call('DEL', P .. 'wake:' .. queue.name)
    end
    if queue.name ~= '*' and has_documents(queue.name) then waiting[#waiting + 1] = queue.name end
  end
  wake_in = (more or late or cascading or demand.unfinished) and 0 or until_due()
end
flush()
return { standing, now, wake_in, lost, demand.claims, waiting }
