/**
 * The one conformance suite: what every engine must do, written only against the contract in `src/engine/engine.ts`. It
 * never reads a raw table or key. A store's test file says how to get an empty store (`Harness`); rules that need what
 * the engine does not support are left out and counted, and its refusals are tested instead.
 */
import { describe } from "bun:test"
import { afterRules } from "./conformance/after.ts"
import { blockedRules } from "./conformance/blocked.ts"
import { cancelRules } from "./conformance/cancel.ts"
import { claimRules } from "./conformance/claim.ts"
import { cronRules } from "./conformance/cron.ts"
import { dueRules } from "./conformance/due.ts"
import { eventRules } from "./conformance/events.ts"
import { fenceRules } from "./conformance/fence.ts"
import { followRules } from "./conformance/follow.ts"
import { lookRules } from "./conformance/look.ts"
import { moveRules } from "./conformance/move.ts"
import { processRules } from "./conformance/processes.ts"
import { pruneRules } from "./conformance/prune.ts"
import { pushRules } from "./conformance/push.ts"
import { randomRules } from "./conformance/random.ts"
import { refusalRules } from "./conformance/refusals.ts"
import { reportRules } from "./conformance/report.ts"
import { reviseRules } from "./conformance/revise.ts"
import { revivalRules } from "./conformance/revival.ts"
import { serialRules } from "./conformance/serial.ts"
import { sessionRules } from "./conformance/sessions.ts"
import { settleRules } from "./conformance/settle.ts"
import type { Harness } from "./conformance/stage.ts"
import { Suite } from "./conformance/suite.ts"
import { sweepRules } from "./conformance/sweep.ts"
import { uniqueRules } from "./conformance/unique.ts"
import { waitRules } from "./conformance/wait.ts"

const topics = [
  pushRules,
  uniqueRules,
  claimRules,
  dueRules,
  settleRules,
  fenceRules,
  serialRules,
  afterRules,
  blockedRules,
  revivalRules,
  sessionRules,
  cancelRules,
  waitRules,
  sweepRules,
  pruneRules,
  reportRules,
  eventRules,
  followRules,
  lookRules,
  reviseRules,
  cronRules,
  moveRules,
  processRules,
  randomRules,
  refusalRules,
]

export function conformance(name: string, harness: Harness): void {
  describe(name, () => {
    const suite = new Suite(harness)
    for (const topic of topics) topic(suite)
    // Last, and in a group of its own: groups are gathered one after the other.
    describe("left out", () => suite.sayWhatIsLeftOut())
  })
}
