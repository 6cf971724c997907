-- The data model, and what every script needs of it. scripts.ts puts this text before each script that writes or reads tasks;
-- Redis has no includes. `call`, `P` (the prefix of all keys), `now` and `arg` come from prelude.lua.
--
-- All keys begin with P = `{NAMESPACE}:`, one hash slot of a cluster.
--
-- One task
--   task         hash    id -> what the push fixed: "SEQ PRIORITY QUEUE CREATED NAME =LABEL\nBODY". SEQ is push order. Lua
--                        reads the first line only; the body is never decoded.
--   state        hash    id -> what runs change (see `encode`). None: pending, never claimed, nothing
--                        more to know of it. Three of four queued tasks have none.
--   x:ID         hash    what few tasks have, see "Fields of x" below
--   result       hash    id -> a result too long for the state
--   failures:ID  list    JSON of the last ten failures
--   memo:ID      hash    key -> "N value", N counting in the order of first storing
--   eaten:ID     set     numbers of the events that the task has consumed
--   out:ID       stream  e(poch) a(ttempt) s(tream) o(ffset) t(ime) d(ata)
--   deps:ID      hash    parent's id -> "C0SEQ" or "E1SEQ": needs C(ompletion) or any E(nd); satisfied or not; parent's SEQ
--   kids:ID      zset    children by SEQ. Without the child in it, an entry of deps counts no more: the parent is gone.
--
-- Finding tasks
--   ids:N             list    the ids of SEQ 64N .. 64N+63; "" where it was removed
--   is:STATUS:C       bitmap  which of SEQ 65536C .. have that status
--   is:o:C            bitmap  which have had a state while they were pending: the others that are pending are plain, and their
--                             state need not be asked for
--   of:QUEUE:C        bitmap  which are in that queue
--   names:C           hash    name -> its number N, for the first names among SEQ 65536C ..; "" -> how many tasks bear one of these
--   named:C           bitmap  1024N + which of the pages of the chunk have had a task of name N
--   depth             hash    "QUEUE STATUS PRIORITY" -> how many; "QUEUE unserved" -> how many
--   ready             zset    "PRIORITY QUEUE" by PRIORITY: where something may be ready
--   fifo:PRIORITY:QUEUE  list  SEQs as they were pushed; back:PRIORITY:QUEUE  zset  those that came later, by SEQ.
--                     An entry counts if its task is pending, not parked, and of that priority; else it is left over.
--                     (One zset for all would cost 120 bytes a task, and a list 6.)
--   due, late         zset    id by when it is to be promoted, and by when it expires
--   ended:STATUS:QUEUE  list  "SEQ FINISHED" in the order of the ends; spared:STATUS:QUEUE  zset  the same by FINISHED, of tasks
--                     that could not be pruned when it was their turn
--   unique            hash    key -> id of its holder
--   serial            hash    key -> id of its front; parked:KEY  zset  ids that wait behind it, by SEQ
--   waiting:EVENT     hash    id -> "=KEY" or ""
--   cascade           zset    kids lists to be told, by SEQ of the parent; news  hash  list -> "NEWS CURSOR PARENT". A parent that
--                     was removed leaves its list under another name, "#SEQ".
--
-- Workers
--   beats        hash    id -> how often it has beaten
--   worker:ID    hash    session, status, at (its last beat), name, info, drain; of a dead one, what it was doing (was)
--                        and how often it had beaten (beats)
--   leases:ID    set     SEQs of the tasks leased to it
--   notices:ID   list    "EPOCH TASK" of cancelled runs that it is to kill
--   dead, gone   zset    id by its death: what it held is to be taken over; it holds nothing any more
--   audience     hash    id -> what it serves, JSON; alive  zset  id by its last beat
--   bell:ID      zset    something waits for this worker: an order, or it was told to stop waiting
--   wake:QUEUE   zset    something in the queue waits for a worker; wake:*  the same of any queue. One member, however much
--                        there is: whoever takes it claims, and a claim that leaves something puts it back.
--
-- The rest
--   event:NAME, event:NAME\nKEY  zset  numbers of events by time; payload  hash  number -> payload; eventnames  set
--   eventages    zset    the same by the time of their oldest event
--   cron:NAME    hash    revision spec next paused lastTick lastTasks skipped; crons  set; crondue  zset  by next
--   paused       set     queues
--   fact         hash    seq, event (numbers given out), bytes (of kept output), quarantined, low (first chunk of bitmaps); where
--                        the next prune goes on: tidy, heavy, "spared STATUS QUEUE"
--   copies, sent:QUEUE, unconfirmed  where RabbitMQ delivers: dispatch.lua
--   moved        string  JSON: where the tasks of this store are moving, or were moved
--   inbox:QUEUE  list    documents of strangers; refused:QUEUE  list  those that are no tasks;
--                refusals  set  queues that have had any
--
-- Fields of x
--   run  when it was to run      due  when it is promoted     exp  expires       uk uu  unique key, held until
--   sk   serial key              bl   parents not ended       fr fs  flow run and step
--   pg pm  progress, its message pp   postponements           ty   tally         un   given back as unserved
--   fc   failures counted        fl   full length of a result out on  bytes of output, pieces numbered
--   we wk wm  event waited for, its "=KEY", the memo to write

local TASK, STATE, FACT = P .. 'task', P .. 'state', P .. 'fact'
local PAGE, CHUNK = 64, 65536
local PAGES = CHUNK / PAGE
-- A result longer than this lives in `result`, so that a look at the state stays cheap.
local INLINE = 512

local floor, format, pack, unpack_text = math.floor, string.format, struct.pack, struct.unpack

local function many(command, key, list)
  local n = #list
  for i = 1, n, 1000 do call(command, key, unpack(list, i, math.min(i + 999, n))) end
end

-- Numbers become text here and nowhere else: Lua's own way takes ten times as long.
local function text(number)
  return format('%d', number)
end

local function is_end(status)
  return status == 'c' or status == 'f' or status == 'x'
end

-- Everything below collects changes; `flush` writes them, many tasks in one command.
local tasks = {} -- id -> task, or false where there is none
local raw = {} -- id -> state as it is stored or will be, or false where there is none
local changed = {} -- ids whose raw state is to be written
local dirty = {} -- tasks that have changed
local depth = {} -- queue -> status -> priority -> by how many more
local marks = {} -- bitmap -> chunk -> BITFIELD operations
local leased, released = {}, {} -- worker -> SEQs
local appended = {} -- list -> values
local rung = {} -- queue -> true
local bytes = 0

local function save(t)
  if not t.dirty then
    t.dirty = true
    dirty[#dirty + 1] = t
  end
end

local function write(id, state)
  raw[id] = state
  changed[#changed + 1] = id
end

local function collect(lists, name, value)
  local values = lists[name]
  if values then
    values[#values + 1] = value
  else
    lists[name] = { value }
  end
end

local function append(list, value)
  collect(appended, list, value)
end

-- Spelt out: made anew in every call, they would cost it 50 µs.
local widths = {
  'u1', 'u2', 'u3', 'u4', 'u5', 'u6', 'u7', 'u8', 'u9', 'u10', 'u11', 'u12', 'u13', 'u14', 'u15', 'u16', 'u17', 'u18', 'u19', 'u20',
  'u21', 'u22', 'u23', 'u24', 'u25', 'u26', 'u27', 'u28', 'u29', 'u30', 'u31', 'u32',
}

-- A run of neighbours is one operation.
local function close_run(m)
  local n = #m
  m[n + 1], m[n + 2], m[n + 3] = 'SET', widths[m.length], m.start
  m[n + 4] = m.value == 1 and 2 ^ m.length - 1 or 0
end

local function mark(bitmap, seq, value)
  local place = seq % CHUNK
  local chunk = (seq - place) / CHUNK
  local chunks = marks[bitmap]
  if not chunks then
    chunks = {}
    marks[bitmap] = chunks
  end
  local m = chunks[chunk]
  if not m then
    chunks[chunk] = { start = place, length = 1, value = value }
  elseif m.value == value and place == m.start + m.length and m.length < 32 then
    m.length = m.length + 1
  else
    close_run(m)
    m.start, m.length, m.value = place, 1, value
  end
end

-- The same for `n` neighbours.
local function mark_run(bitmap, first, n, value)
  while n > 0 do
    local place = first % CHUNK
    local part = math.min(n, CHUNK - place)
    local chunk = (first - place) / CHUNK
    mark(bitmap, first, value)
    local m = marks[bitmap][chunk]
    if m.start == place and m.length == 1 then
      part = math.min(part, 32)
      m.length = part
    else
      part = 1
    end
    first, n = first + part, n - part
  end
end

-- The bitmap of a state, without its chunk.
local of_status = {
  p = P .. 'is:p:', r = P .. 'is:r:', s = P .. 'is:s:', w = P .. 'is:w:', b = P .. 'is:b:', c = P .. 'is:c:', f = P .. 'is:f:',
  x = P .. 'is:x:',
}

local had_state = P .. 'is:o:'

local function count_at(queue, status, priority, by)
  local q = depth[queue]
  if not q then
    q = {}
    depth[queue] = q
  end
  local s = q[status]
  if not s then
    s = {}
    q[status] = s
  end
  s[priority] = (s[priority] or 0) + by
end

local function count(t, status, by)
  count_at(t.queue, status, t.priority, by)
end

-- Moves neighbours of one queue and priority from one state to another, in every index of states.
local function shift_run(queue, priority, first, n, from, to)
  count_at(queue, from, priority, -n)
  count_at(queue, to, priority, n)
  mark_run(of_status[from], first, n, 0)
  mark_run(of_status[to], first, n, 1)
end

local function shift(t, to)
  count(t, t.status, -1)
  count(t, to, 1)
  mark(of_status[t.status], t.seq, 0)
  mark(of_status[to], t.seq, 1)
  t.status = to
  save(t)
end

-- Collects neighbours that move alike, and moves them together.
local run = { n = 0 }

local function shift_collected()
  if run.n > 0 then shift_run(run.queue, run.priority, run.first, run.n, run.from, run.to) end
  run.n = 0
end

local function shift_soon(queue, priority, seq, from, to)
  if run.n > 0 and seq == run.first + run.n and run.to == to and run.priority == priority and run.queue == queue then
    run.n = run.n + 1
    return
  end
  shift_collected()
  run.queue, run.priority, run.first, run.n, run.from, run.to = queue, priority, seq, 1, from, to
end

-- A state: status, flags, epoch, retries, crashes, priority, SEQ, started, queue, worker, reason; of an ended task also when it
-- finished, its exit code, the length of its result, and the result itself if it is short. Flags: 1 it has x, 2 kids,
-- 4 parked, 8 the run has begun, 16 a reason, 32 an exit code, 64 a result here, 128 one in `result`.
local LIVE = '>c1BI4I4I2BI6I6Bc0Bc0I2c0'
local ENDED = LIVE .. 'I6i4I4'

local function encode(t)
  local flags = (t.extra and 1 or 0) + (t.kids and 2 or 0) + (t.parked and 4 or 0) + (t.started and 8 or 0)
    + (t.reason and 16 or 0) + (t.exit and 32 or 0) + (t.length and (t.result and 64 or 128) or 0)
  local queue, worker, reason = t.queue, t.worker or '', string.sub(t.reason or '', 1, 65535)
  if is_end(t.status) then
    return pack(ENDED, t.status, flags, t.epoch, t.retry, t.crashes, t.priority, t.seq, t.startedAt or 0, #queue, queue, #worker,
      worker, #reason, reason, t.finishedAt or 0, t.exit or 0, t.length or 0) .. (t.result or '')
  end
  return pack(LIVE, t.status, flags, t.epoch, t.retry, t.crashes, t.priority, t.seq, t.startedAt or 0, #queue, queue, #worker,
    worker, #reason, reason)
end

-- The task that has this state; nil if it is none that we wrote.
local function decode(id, state)
  local fine, status, flags, epoch, retry, crashes, priority, seq, started, queue, worker, reason, place =
    pcall(unpack_text, LIVE, state)
  if not fine or not of_status[status] then return nil end
  local finished, exit, length, result
  if is_end(status) then
    fine, finished, exit, length, place = pcall(unpack_text, '>I6i4I4', state, place)
    if not fine then return nil end
    if flags % 128 >= 64 then result = string.sub(state, place) end
  end
  return {
    id = id, status = status, extra = flags % 2 == 1, kids = flags % 4 >= 2, parked = flags % 8 >= 4, started = flags % 16 >= 8,
    epoch = epoch, retry = retry, crashes = crashes, priority = priority, seq = seq, queue = queue,
    worker = worker ~= '' and worker or nil, startedAt = started > 0 and started or nil, finishedAt = finished,
    reason = flags % 32 >= 16 and reason or nil, exit = flags % 64 >= 32 and exit or nil,
    length = flags >= 64 and length or nil, result = result,
  }
end

local function new_task(id, seq, queue, priority, status)
  return {
    id = id, status = status, extra = false, kids = false, parked = false, started = false, epoch = 0, retry = 0, crashes = 0,
    priority = priority, seq = seq, queue = queue,
  }
end

-- A task that has no state yet.
local function fresh(id, fixed)
  local seq, priority, queue = string.match(fixed, '^(%d+) (%d+) (%S+) ')
  if not seq then return nil end
  local t = new_task(id, tonumber(seq), queue, tonumber(priority), 'p')
  t.is_fresh = true
  return t
end

-- What somebody else wrote there is left alone and counted; nothing stops for its sake.
local function quarantine(id)
  call('HINCRBY', FACT, 'quarantined', 1)
  tasks[id] = false
  return false
end

local function load(id)
  local t = tasks[id]
  if t ~= nil then return t end
  local state = raw[id] or call('HGET', STATE, id)
  if state then
    t = decode(id, state)
  else
    local fixed = call('HGET', TASK, id)
    if not fixed then
      tasks[id] = false
      return false
    end
    t = fresh(id, fixed)
  end
  if not t then return quarantine(id) end
  tasks[id] = t
  return t
end

local function x_key(t)
  return P .. 'x:' .. t.id
end

-- The fields of x, or nil where it has none.
local function extra(t)
  if not t.extra then return nil end
  if not t.x then
    t.x = {}
    local flat = call('HGETALL', x_key(t))
    for i = 1, #flat, 2 do t.x[flat[i]] = flat[i + 1] end
  end
  return t.x
end

-- Sets one field of x; nil removes it.
local function set(t, field, value)
  if type(value) == 'number' then value = text(value) end
  if not t.extra then
    if value == nil then return end
    t.extra, t.x = true, {}
    save(t)
  end
  local x = extra(t)
  if x[field] == value then return end
  x[field] = value
  if value == nil then call('HDEL', x_key(t), field) else call('HSET', x_key(t), field, value) end
end

local function x_number(t, field)
  local x = extra(t)
  return x and tonumber(x[field])
end

-- When an instant is meant: "i500" (from now), "a1763000000000", or "".
local function instant(when)
  if when == '' then return nil end
  local value = tonumber(string.sub(when, 2))
  return string.sub(when, 1, 1) == 'i' and now + value or value
end

local function ring(queue)
  rung[queue] = true
end

local function bell(worker, why)
  call('ZADD', P .. 'bell:' .. worker, 0, why)
end

local pages = {}

local function id_of(seq)
  local place = seq % PAGE
  local page = (seq - place) / PAGE
  local ids = pages[page]
  if not ids then
    ids = call('LRANGE', P .. 'ids:' .. text(page), 0, -1)
    pages[page] = ids
  end
  local id = ids[place + 1]
  return id ~= '' and id or nil
end

local ended_lists = {}

local now_text = text(now)

-- Remembers an end in the order in which tasks ended.
local function note_end(status, queue, seq_text)
  local lists = ended_lists[status]
  if not lists then
    lists = {}
    ended_lists[status] = lists
  end
  local list = lists[queue]
  if not list then
    list = P .. 'ended:' .. status .. ':' .. queue
    lists[queue] = list
  end
  collect(appended, list, seq_text .. ' ' .. now_text)
end

local function flush_lists()
  for list, values in pairs(appended) do many('RPUSH', list, values) end
  appended = {}
end

local function flush_counts()
  for queue, statuses in pairs(depth) do
    for status, priorities in pairs(statuses) do
      for priority, by in pairs(priorities) do
        local field = queue .. ' ' .. status .. ' ' .. text(priority)
        if by ~= 0 and call('HINCRBY', P .. 'depth', field, by) == 0 then call('HDEL', P .. 'depth', field) end
      end
    end
  end
  depth = {}
  if bytes ~= 0 then call('HINCRBY', FACT, 'bytes', bytes) end
  bytes = 0
end

local function flush()
  shift_collected()
  for _, t in ipairs(dirty) do
    if t.dirty then
      t.dirty = nil
      if t.status == 'p' then mark(had_state, t.seq, 1) end
      write(t.id, encode(t))
    end
  end
  dirty = {}
  local states, n = {}, 0
  for _, id in ipairs(changed) do
    if raw[id] then
      states[n + 1], states[n + 2] = id, raw[id]
      n = n + 2
    end
  end
  changed = {}
  many('HSET', STATE, states)
  for worker, ids in pairs(released) do many('SREM', P .. 'leases:' .. worker, ids) end
  for worker, ids in pairs(leased) do many('SADD', P .. 'leases:' .. worker, ids) end
  released, leased = {}, {}
  flush_lists()
  for bitmap, chunks in pairs(marks) do
    for chunk, m in pairs(chunks) do
      close_run(m)
      many('BITFIELD', bitmap .. text(chunk), m)
    end
  end
  marks = {}
  flush_counts()
  local any = false
  for queue in pairs(rung) do
    call('ZADD', P .. 'wake:' .. queue, 0, '')
    any = true
  end
  if any then call('ZADD', P .. 'wake:*', 0, '') end
  rung = {}
end
