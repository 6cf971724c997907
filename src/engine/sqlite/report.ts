/** News of a run while it lasts: progress, output, memos. Fenced by the lease, like its end. */
import type { Lease } from "../../core/claim.ts"
import type { Millis } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import { attemptOf } from "../../core/state.ts"
import type { Note } from "../engine.ts"
import type { Store } from "./database.ts"
import { storeMemo } from "./event.ts"
import { setExtra, withExtra } from "./extra.ts"
import { storeOutput } from "./output.ts"
import { type LeasedRow, leasedRow } from "./settle.ts"

/** Inside a write transaction. */
export function report(store: Store, lease: Lease, notes: readonly Note[], now: Millis): "ok" | "lost" {
  const row = leasedRow(store, lease)
  if (!row) return "lost"
  for (const note of notes) heed(store, row, lease.epoch, note, now)
  return "ok"
}

function heed(store: Store, row: LeasedRow, epoch: number, note: Note, now: Millis): void {
  switch (note.kind) {
    case "memo":
      storeMemo(store, row.seq, note.key, note.value)
      break
    case "output": {
      const attempt = attemptOf({ retryCount: row.retry_count, crashes: row.crashes })
      storeOutput(store, row.seq, epoch, attempt, [note], now)
      break
    }
    case "progress": {
      const { fraction, message } = note.progress
      setExtra(store, withExtra(store, row), { progress: fraction, progress_message: message ?? null })
      break
    }
    default:
      unreachable(note)
  }
}
