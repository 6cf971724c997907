/**
 * The scripts, each a file of its own. Redis has no includes: what several of them need is in fragments (prelude.lua, base.lua
 * with the data model, life.lua …), and a script's text is its fragments one after the other, then its own file.
 */

import audiences from "./lua/audiences.lua" with { type: "text" }
import awaiting from "./lua/await.lua" with { type: "text" }
import base from "./lua/base.lua" with { type: "text" }
import beat from "./lua/beat.lua" with { type: "text" }
import configure from "./lua/configure.lua" with { type: "text" }
import count from "./lua/count.lua" with { type: "text" }
import crons from "./lua/crons.lua" with { type: "text" }
import dispatch from "./lua/dispatch.lua" with { type: "text" }
import dispatched from "./lua/dispatched.lua" with { type: "text" }
import documents from "./lua/documents.lua" with { type: "text" }
import drain from "./lua/drain.lua" with { type: "text" }
import dump from "./lua/dump.lua" with { type: "text" }
import dumpAfter from "./lua/dump-after.lua" with { type: "text" }
import erase from "./lua/erase.lua" with { type: "text" }
import events from "./lua/events.lua" with { type: "text" }
import filter from "./lua/filter.lua" with { type: "text" }
import fire from "./lua/fire.lua" with { type: "text" }
import gate from "./lua/gate.lua" with { type: "text" }
import get from "./lua/get.lua" with { type: "text" }
import glance from "./lua/glance.lua" with { type: "text" }
import inbox from "./lua/inbox.lua" with { type: "text" }
import inboxes from "./lua/inboxes.lua" with { type: "text" }
import lease from "./lua/lease.lua" with { type: "text" }
import leave from "./lua/leave.lua" with { type: "text" }
import life from "./lua/life.lua" with { type: "text" }
import list from "./lua/list.lua" with { type: "text" }
import look from "./lua/look.lua" with { type: "text" }
import memos from "./lua/memos.lua" with { type: "text" }
import output from "./lua/output.lua" with { type: "text" }
import outputOf from "./lua/output-of.lua" with { type: "text" }
import prelude from "./lua/prelude.lua" with { type: "text" }
import prune from "./lua/prune.lua" with { type: "text" }
import push from "./lua/push.lua" with { type: "text" }
import pushTask from "./lua/push-task.lua" with { type: "text" }
import putCron from "./lua/put-cron.lua" with { type: "text" }
import queues from "./lua/queues.lua" with { type: "text" }
import relocate from "./lua/relocate.lua" with { type: "text" }
import report from "./lua/report.lua" with { type: "text" }
import restore from "./lua/restore.lua" with { type: "text" }
import revise from "./lua/revise.lua" with { type: "text" }
import reviseTask from "./lua/revise-task.lua" with { type: "text" }
import send from "./lua/send.lua" with { type: "text" }
import settle from "./lua/settle.lua" with { type: "text" }
import sweep from "./lua/sweep.lua" with { type: "text" }
import take from "./lua/take.lua" with { type: "text" }
import time from "./lua/time.lua" with { type: "text" }
import watch from "./lua/watch.lua" with { type: "text" }
import worker from "./lua/worker.lua" with { type: "text" }
import workers from "./lua/workers.lua" with { type: "text" }

const sources = {
  audiences: [audiences],
  await: [base, life, lease, documents, awaiting],
  beat: [base, life, worker, beat],
  configure: [gate, base, configure],
  count: [base, filter, count],
  crons: [crons],
  dispatch: [base, life, lease, dispatch],
  dispatched: [base, life, dispatched],
  drain: [base, drain],
  dump: [base, look, dump],
  dumpAfter: [base, dumpAfter],
  events: [events],
  fire: [gate, base, life, pushTask, erase, reviseTask, fire],
  get: [base, look, get],
  glance: [base, look, glance],
  inbox: [gate, base, life, pushTask, inbox],
  inboxes: [documents, inboxes],
  leave: [base, life, lease, worker, leave],
  list: [base, filter, look, list],
  memos: [memos],
  outputOf: [outputOf],
  prune: [base, life, erase, filter, prune],
  push: [gate, base, life, pushTask, push],
  putCron: [gate, putCron],
  queues: [base, queues],
  relocate: [relocate],
  report: [base, life, output, report],
  restore: [gate, base, life, pushTask, restore],
  revise: [gate, base, life, erase, filter, reviseTask, revise],
  send: [gate, base, life, send],
  settle: [gate, base, life, pushTask, output, lease, documents, settle],
  sweep: [base, life, lease, worker, sweep],
  take: [gate, base, life, lease, take],
  watch: [watch],
  workers: [workers],
} as const satisfies Record<string, readonly string[]>

export type ScriptName = keyof typeof sources

export interface Script {
  readonly text: string
  /** SHA-1 of the text, by which the server knows it. */
  readonly sha: string
}

export class Scripts {
  readonly #time: string
  readonly #scripts = new Map<ScriptName, Script>()

  /** @param timeIsGiven for tests: the last argument of every call is the store's time */
  constructor(timeIsGiven: boolean) {
    this.#time = timeIsGiven ? "local now = tonumber(ARGV[#ARGV])\n" : time
  }

  get(name: ScriptName): Script {
    let script = this.#scripts.get(name)
    if (!script) {
      const text = [prelude, this.#time, ...sources[name]].join("\n")
      script = { text, sha: new Bun.CryptoHasher("sha1").update(text).digest("hex") }
      this.#scripts.set(name, script)
    }
    return script
  }
}
