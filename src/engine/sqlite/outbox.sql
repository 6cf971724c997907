-- The outbox of a store that RabbitMQ delivers for (src/engine/store.ts). It is kept by triggers, so that whatever makes a task
-- pending puts it here, and stores that no broker delivers for pay nothing.
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY,
  copy INTEGER NOT NULL DEFAULT 0,        -- the number of the last copy
  sent_at INTEGER,                        -- when it was sent; NULL: the next one is to be sent
  confirmed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_unconfirmed ON outbox (sent_at) WHERE sent_at IS NOT NULL AND confirmed = 0;

CREATE TRIGGER IF NOT EXISTS outbox_pushed AFTER INSERT ON task WHEN new.status = 'pending' AND new.parked = 0 BEGIN
  INSERT INTO outbox (seq) VALUES (new.seq);
END;
CREATE TRIGGER IF NOT EXISTS outbox_again AFTER UPDATE OF status, parked, priority ON task
WHEN new.status = 'pending' AND new.parked = 0
  AND (old.status <> 'pending' OR old.parked <> 0 OR old.priority <> new.priority) BEGIN
  INSERT INTO outbox (seq) VALUES (new.seq) ON CONFLICT (seq) DO UPDATE SET sent_at = NULL, confirmed = 0;
END;
CREATE TRIGGER IF NOT EXISTS outbox_left AFTER UPDATE OF status ON task
WHEN new.status <> 'pending' BEGIN
  -- Nothing to send. The number stays: copies of before are stale should the task come back.
  UPDATE outbox SET sent_at = 0, confirmed = 1 WHERE seq = new.seq;
END;
CREATE TRIGGER IF NOT EXISTS outbox_deleted AFTER DELETE ON task BEGIN
  DELETE FROM outbox WHERE seq = old.seq;
END;
