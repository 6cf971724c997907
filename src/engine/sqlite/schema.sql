-- The SQLite store, version 1. `seq` is push order; everything that refers to a task does so by seq.
-- The checks guard the state machine of core/state.ts: no code path can leave a row between two states.

-- What every push, claim and settle touches, and nothing else: each of them rewrites the row and evaluates every index and
-- check on it. Measured, claim and settle of one task: 9.7 µs with all columns and twelve partial indexes here, 7.4 µs so.
CREATE TABLE task (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  queue TEXT NOT NULL,
  name TEXT NOT NULL,
  priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 10),
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  body TEXT,                              -- NULL: in large_body, so that a change of state does not rewrite it
  epoch INTEGER NOT NULL DEFAULT 0,
  worker TEXT,                            -- who holds the lease
  started INTEGER NOT NULL DEFAULT 0,     -- its run has begun; 0 while it waits in the worker's buffer
  started_at INTEGER,
  finished_at INTEGER,
  result ANY,                             -- TEXT, or BLOB where it is not UTF-8; NULL with result_length: in large_result
  result_length INTEGER,                  -- bytes kept
  exit_code INTEGER,
  retry_count INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,      -- pending behind another task with its serial key
  has_children INTEGER NOT NULL DEFAULT 0,
  has_extra INTEGER NOT NULL DEFAULT 0,   -- it has a row in `extra`
  label TEXT,
  reason TEXT,
  -- `IN (…)` in a check or in the condition of an index builds a table at every evaluation: it would double the cost of a
  -- claim and a settle.
  CHECK (CASE status
    WHEN 'pending' THEN worker IS NULL AND finished_at IS NULL
    WHEN 'running' THEN worker IS NOT NULL AND finished_at IS NULL AND parked = 0
    WHEN 'completed' THEN worker IS NULL AND finished_at IS NOT NULL AND parked = 0
    WHEN 'failed' THEN worker IS NULL AND finished_at IS NOT NULL AND parked = 0
    WHEN 'cancelled' THEN worker IS NULL AND finished_at IS NOT NULL AND parked = 0
    WHEN 'scheduled' THEN worker IS NULL AND finished_at IS NULL AND parked = 0 AND has_extra = 1
    WHEN 'blocked' THEN worker IS NULL AND finished_at IS NULL AND parked = 0 AND has_extra = 1
    WHEN 'waiting' THEN worker IS NULL AND finished_at IS NULL AND parked = 0 AND has_extra = 1
    ELSE false END)
) STRICT;

CREATE INDEX task_ready ON task (queue, priority, seq) WHERE status = 'pending' AND parked = 0;
CREATE INDEX task_leased ON task (worker) WHERE worker IS NOT NULL;
CREATE INDEX task_ended ON task (queue, finished_at) WHERE finished_at IS NOT NULL;

-- What few tasks have. The columns that end in `_at` and are indexed are set only while they count: `due_at` of a scheduled or
-- waiting task, `late_at` of one that has not started.
CREATE TABLE extra (
  seq INTEGER PRIMARY KEY,
  run_at INTEGER,
  due_at INTEGER,
  expires_at INTEGER,
  late_at INTEGER,
  unique_key TEXT,
  unique_held INTEGER NOT NULL DEFAULT 0,
  unique_until INTEGER,                   -- held past the end until then
  serial_key TEXT,
  is_parked INTEGER NOT NULL DEFAULT 0,   -- as task.parked
  blockers INTEGER NOT NULL DEFAULT 0 CHECK (blockers >= 0), -- parents not yet satisfied
  flow_run TEXT,
  flow_step TEXT,
  progress REAL,
  progress_message TEXT,
  postponements INTEGER NOT NULL DEFAULT 0,
  tally TEXT,
  unserved INTEGER NOT NULL DEFAULT 0,    -- given back because nobody may or can run it
  failures TEXT,                          -- JSON array, the last ten
  failure_count INTEGER NOT NULL DEFAULT 0,
  is_dead INTEGER NOT NULL DEFAULT 0,     -- the task is failed
  full_length INTEGER,                    -- of a result of which only head and tail were kept
  wait_event TEXT,
  wait_key TEXT,
  wait_memo TEXT
) STRICT;

CREATE INDEX extra_due ON extra (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX extra_late ON extra (late_at) WHERE late_at IS NOT NULL;
CREATE UNIQUE INDEX extra_unique ON extra (unique_key) WHERE unique_held = 1;
CREATE INDEX extra_parked ON extra (serial_key, seq) WHERE is_parked = 1;
CREATE INDEX extra_unserved ON extra (seq) WHERE unserved = 1;
CREATE INDEX extra_dead ON extra (seq) WHERE is_dead = 1;
CREATE INDEX extra_waiting ON extra (wait_event) WHERE wait_event IS NOT NULL;

CREATE VIEW whole AS SELECT * FROM task LEFT JOIN extra USING (seq);

CREATE TABLE large_body (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE large_result (seq INTEGER PRIMARY KEY, result ANY NOT NULL) STRICT;

-- How many tasks there are of each kind, kept in the transactions that change them.
CREATE TABLE depth (
  queue TEXT NOT NULL,
  status TEXT NOT NULL,
  priority INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (queue, status, priority)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (name TEXT PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;

-- The task that may run of each serial key: from when it becomes pending until it ends.
CREATE TABLE serial (key TEXT PRIMARY KEY, front INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE dependency (
  parent INTEGER NOT NULL,
  child INTEGER NOT NULL,
  any_end INTEGER NOT NULL,               -- satisfied by any end, not only by success
  satisfied INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependency_child ON dependency (child);

-- Ended parents whose children have not all been told: any claim or sweep goes on from `after_child`.
CREATE TABLE cascade (
  parent INTEGER PRIMARY KEY,
  news TEXT NOT NULL CHECK (news IN ('completed', 'not completed', 'retried', 'retried, completed')),
  after_child INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE worker (
  id TEXT PRIMARY KEY,
  session INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'draining', 'stopping', 'dead')),
  beats INTEGER NOT NULL,
  beat_at INTEGER NOT NULL,
  drain INTEGER NOT NULL DEFAULT 0,
  info TEXT NOT NULL                      -- WorkerInfo as JSON
) STRICT, WITHOUT ROWID;

-- Running tasks that were cancelled: the worker's next beat takes them.
CREATE TABLE notice (
  worker TEXT NOT NULL,
  task TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  PRIMARY KEY (worker, task, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunk (
  task INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  stream TEXT NOT NULL,
  start INTEGER NOT NULL,                 -- offset of the first byte in the stream
  at INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_task ON chunk (task, epoch);

CREATE TABLE memo (
  task INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  event INTEGER,                          -- the event it came from: consumed by this task
  PRIMARY KEY (task, key)
) STRICT;

CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  key TEXT,
  payload TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX event_name ON event (name, seq);

CREATE TABLE cron (
  name TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  spec TEXT,                              -- NULL: removed; the row stays so that revisions never repeat
  next INTEGER,
  paused INTEGER NOT NULL DEFAULT 0,
  last_tick INTEGER,
  last_tasks TEXT NOT NULL DEFAULT '[]',
  skipped INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX cron_due ON cron (next) WHERE next IS NOT NULL AND paused = 0 AND spec IS NOT NULL;

-- Small facts about the store itself: bytes of output kept, where it was moved to.
CREATE TABLE fact (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
