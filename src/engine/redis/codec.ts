/** The contract's values as arguments of scripts, and their replies as the contract's values. */
import type { Claim, Lease } from "../../core/claim.ts"
import type { When } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import type { Filter } from "../../core/filter.ts"
import type { TaskId } from "../../core/id.ts"
import { rawOf } from "../../core/json.ts"
import type { Failure, Status, TaskState } from "../../core/state.ts"
import type { Dependency, TaskRecord } from "../../core/task.ts"
import type { Outcome } from "../../core/transition.ts"
import type { Chunk, Note, Output, StoredTask, Stream } from "../engine.ts"
import type { Arg, Reply } from "./connection.ts"

export type { Reply } from "./connection.ts"

export const statusLetters: Readonly<Record<Status, string>> = {
  pending: "p",
  running: "r",
  scheduled: "s",
  waiting: "w",
  blocked: "b",
  completed: "c",
  failed: "f",
  cancelled: "x",
}

const statusOfLetter = new Map(
  Object.entries(statusLetters).map(([status, letter]) => [letter, status as Status]),
)

/** @param letter as the scripts write it */
export const statusOf = (letter: string): Status => statusOfLetter.get(letter) ?? "pending"

export const textOf = (reply: Reply | undefined): string =>
  Buffer.isBuffer(reply) ? reply.toString() : String(reply ?? "")
export const numberOf = (reply: Reply | undefined): number =>
  typeof reply === "number" ? reply : Number(textOf(reply))
export const listOf = (reply: Reply | undefined): readonly Reply[] =>
  Array.isArray(reply) ? (reply as readonly Reply[]) : []

/** Field, value, field, value … */
export function fieldsOf(reply: Reply | undefined): Map<string, string> {
  const flat = listOf(reply)
  const fields = new Map<string, string>()
  for (let i = 0; i < flat.length; i += 2) fields.set(textOf(flat[i]), textOf(flat[i + 1]))
  return fields
}

export const given = (value: string | undefined): string => (value === undefined ? "" : `=${value}`)

const instant = (when: When | undefined): string => {
  if (!when) return ""
  return "at" in when ? `a${when.at}` : `i${when.in}`
}

// ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Blanks would end a field of the record's first line. */
const escaped = (text: string): string =>
  /[%\s]/.test(text) ? text.replace(/[%\s]/g, (char) => encodeURIComponent(char)) : text
const unescaped = (text: string): string => (text.includes("%") ? decodeURIComponent(text) : text)

/** What the store keeps of a task for good, as base.lua describes it; the script puts the push order before it. */
export function recordText({ priority, queue, createdAt, name, label, body }: TaskRecord): string {
  return `${priority} ${queue} ${createdAt} ${escaped(name)} ${label === undefined ? "" : `=${escaped(label)}`}\n${body}`
}

export const isPlain = (task: TaskRecord): boolean =>
  !task.runAt && !task.expiresAt && !task.unique && !task.after && !task.flow && task.serial === undefined

/** As push_next reads it. */
export function taskArgs(task: TaskRecord): Arg[] {
  const { id, queue, priority, runAt, expiresAt, unique, serial, flow, after } = task
  const fields: Arg[] = []
  if (runAt) fields.push("run", instant(runAt))
  if (expiresAt) fields.push("exp", instant(expiresAt))
  if (unique) fields.push("uk", unique.key)
  if (unique?.for !== undefined) fields.push("uf", unique.for)
  if (serial !== undefined) fields.push("sk", serial)
  if (flow) fields.push("fr", flow.run, "fs", flow.step)
  for (const { id: parent, on } of after ?? []) fields.push(on === "completed" ? "C" : "E", parent)
  return [id, queue, priority, recordText(task), fields.length / 2, ...fields]
}

/** A batch of tasks as push.lua reads it: neighbours of one queue and priority of which there is no more to know go together. */
export function pushArgs(tasks: readonly TaskRecord[]): Arg[] {
  const args: Arg[] = [0]
  let groups = 0
  for (let i = 0; i < tasks.length; groups++) {
    const first = tasks[i]!
    if (!isPlain(first)) {
      args.push("+", ...taskArgs(first))
      i++
      continue
    }
    args.push("=", first.queue, first.priority, 0)
    const count = args.length - 1
    let n = 0
    for (; i < tasks.length; i++, n++) {
      const task = tasks[i]!
      if (task.queue !== first.queue || task.priority !== first.priority || !isPlain(task)) break
      args.push(task.id, recordText(task))
    }
    args[count] = n
  }
  args[0] = groups
  return args
}

/** @param priority undefined: as it was pushed */
function recordOf(
  id: TaskId,
  fixed: string,
  priority: number | undefined,
  x: ReadonlyMap<string, string>,
): TaskRecord {
  const end = fixed.indexOf("\n")
  const [, pushed, queue = "", created = "", name = "", label = ""] = fixed.slice(0, end).split(" ")
  const record = {
    id,
    queue,
    name: unescaped(name),
    priority: priority ?? Number(pushed),
    createdAt: Number(created),
    body: fixed.slice(end + 1),
    ...(label !== "" && { label: unescaped(label.slice(1)) }),
  }
  if (x.size === 0) return record
  const [expiresAt, serial, run] = [x.get("exp"), x.get("sk"), x.get("fr")]
  return {
    ...record,
    ...(expiresAt !== undefined && { expiresAt: { at: Number(expiresAt) } }),
    ...(serial !== undefined && { serial }),
    ...(run !== undefined && { flow: { run, step: x.get("fs") ?? "" } }),
  }
}

const noFields: ReadonlyMap<string, string> = new Map()

/** Claims as tell_claim tells them. */
export function claimsOf(reply: Reply | undefined, worker: string, now: number): Claim[] {
  const flat = listOf(reply)
  const claims: Claim[] = []
  for (let i = 0; i < flat.length; i += 3) {
    const id = textOf(flat[i])
    const fixed = textOf(flat[i + 1])
    const more = flat[i + 2]
    claims.push(
      more === 0 ? firstClaim(id, fixed, worker, now) : laterClaim(id, fixed, listOf(more), worker, now),
    )
  }
  return claims
}

/** Of a task of which there is no more to know than its record. */
const firstClaim = (id: TaskId, fixed: string, worker: string, now: number): Claim => ({
  lease: { id, epoch: 1, worker },
  record: recordOf(id, fixed, undefined, noFields),
  retryCount: 0,
  crashes: 0,
  postponements: 0,
  startedAt: now,
})

function laterClaim(
  id: TaskId,
  fixed: string,
  [epoch, priority, retries, crashes, fields]: readonly Reply[],
  worker: string,
  now: number,
): Claim {
  const x = fieldsOf(fields)
  const tally = x.get("ty")
  return {
    lease: { id, epoch: numberOf(epoch), worker },
    record: recordOf(id, fixed, numberOf(priority), x),
    retryCount: numberOf(retries),
    crashes: numberOf(crashes),
    postponements: Number(x.get("pp") ?? 0),
    startedAt: now,
    ...(tally !== undefined && { tally }),
  }
}

/** A task as tell_task tells it. */
export function storedTaskOf(reply: Reply | undefined): StoredTask | undefined {
  if (!Array.isArray(reply)) return undefined
  const parts = reply as readonly Reply[]
  const id = textOf(parts[0])
  const fixed = textOf(parts[1])
  const x = fieldsOf(parts[14])
  const edges = edgesOf(parts[16])
  const record = recordOf(id, fixed, numberOf(parts[4]), x)
  const [run, key, until] = [x.get("run"), x.get("uk"), x.get("uu")]
  const heldFor = until === undefined ? {} : { for: Number(until) - record.createdAt }
  return {
    record: {
      ...record,
      ...(run !== undefined && { runAt: { at: Number(run) } }),
      ...(key !== undefined && { unique: { key, ...heldFor } }),
      ...(edges.length > 0 && { after: edges.map(({ id, on }): Dependency => ({ id, on })) }),
    },
    state: stateOf(parts, x, edges),
  }
}

interface Edge extends Dependency {
  readonly seq: number
  readonly isOpen: boolean
}

export function edgesOf(reply: Reply | undefined): Edge[] {
  return [...fieldsOf(reply)]
    .map(
      ([id, edge]): Edge => ({
        id,
        on: edge[0] === "C" ? "completed" : "ended",
        isOpen: edge[1] === "0",
        seq: Number(edge.slice(2)),
      }),
    )
    .sort((a, b) => a.seq - b.seq)
}

function stateOf(parts: readonly Reply[], x: ReadonlyMap<string, string>, edges: readonly Edge[]): TaskState {
  const status = statusOf(textOf(parts[2]))
  const text = (i: number) => textOf(parts[i])
  const [worker, started, finished, front] = [text(7), text(8), text(9), text(17)]
  const [due, progress, message] = [x.get("due"), x.get("pg"), x.get("pm")]
  const result = parts[13]
  const [exit, full] = [text(11), x.get("fl")]
  return {
    status,
    retryCount: numberOf(parts[5]),
    crashes: numberOf(parts[6]),
    postponements: Number(x.get("pp") ?? 0),
    epoch: numberOf(parts[3]),
    failures: listOf(parts[15]).map((failure) => JSON.parse(textOf(failure)) as Failure),
    failureCount: Number(x.get("fc") ?? 0),
    ...(worker !== "" && { workerId: worker }),
    ...(due !== undefined && { runAt: Number(due) }),
    ...(started !== "" && { startedAt: Number(started) }),
    ...(finished !== "" && { finishedAt: Number(finished) }),
    ...(progress !== undefined && {
      progress: { fraction: Number(progress), ...(message !== undefined && { message: message.slice(1) }) },
    }),
    ...(status === "completed" &&
      Buffer.isBuffer(result) && {
        result: {
          data: rawOf(result),
          ...(exit !== "" && { exitCode: Number(exit) }),
          ...(full !== undefined && { fullLength: Number(full) }),
        },
      }),
    ...(numberOf(parts[18]) === 1 && { reason: text(10) }),
    ...(status === "blocked" && {
      blockers: edges
        .filter(({ isOpen }) => isOpen)
        .slice(0, 100)
        .map(({ id }) => id),
    }),
    ...(front !== "" && { heldBy: front }),
  }
}

// ── outcomes ────────────────────────────────────────────────────────────────────────────────────────────────────

type Settlement = { readonly outcome: Outcome; readonly output?: readonly Output[] }

/** Settlements as settle.lua reads them: neighbours that are completed without more to say go together. */
export function settlementArgs(args: Arg[], settlements: readonly Settlement[], worker: string): void {
  const count = args.push(0) - 1
  let groups = 0
  for (let i = 0; i < settlements.length; groups++) {
    const result = bareResult(settlements[i]!, worker)
    if (result === undefined) {
      args.push("+", ...oneSettlementArgs(settlements[i]!, worker))
      i++
      continue
    }
    const size = args.push("=", 0) - 1
    let n = 0
    for (let data: typeof result | undefined = result; data !== undefined; n++) {
      const { lease } = settlements[i]!.outcome
      args.push(lease.id, lease.epoch, data)
      i++
      data = i < settlements.length ? bareResult(settlements[i]!, worker) : undefined
    }
    args[size] = n
  }
  args[count] = groups
}

/** The result of a settlement that says nothing else. */
function bareResult({ outcome, output }: Settlement, worker: string): string | Buffer | undefined {
  if (output || outcome.to !== "completed" || outcome.spawn || outcome.lease.worker !== worker)
    return undefined
  return isBare(outcome) ? bytesOf(outcome.result.data) : undefined
}

function oneSettlementArgs({ outcome, output = [] }: Settlement, worker: string): Arg[] {
  const { lease, spawn = [] } = outcome
  return [
    lease.id,
    lease.epoch,
    lease.worker === worker ? "" : lease.worker,
    ...outcomeArgs(outcome),
    output.length,
    ...output.flatMap(outputArgs),
    spawn.length,
    ...spawn.flatMap(taskArgs),
  ]
}

const isBare = ({ result, skipped }: Extract<Outcome, { to: "completed" }>): boolean =>
  result.exitCode === undefined && result.fullLength === undefined && skipped === undefined

const bytesOf = (data: string | Uint8Array): string | Buffer =>
  typeof data === "string" ? data : Buffer.from(data)

function outcomeArgs(outcome: Outcome): Arg[] {
  switch (outcome.to) {
    case "completed": {
      const { data, exitCode, fullLength } = outcome.result
      return ["c", bytesOf(data), exitCode ?? "", fullLength ?? "", given(outcome.skipped)]
    }
    case "scheduled":
      return outcome.charge === "retry"
        ? ["r", instant(outcome.when), JSON.stringify(outcome.failure), outcome.failure.kind]
        : ["p", instant(outcome.when), outcome.reason, given(outcome.tally)]
    case "waiting":
      return ["w", outcome.event, given(outcome.key), instant(outcome.until), outcome.memo]
    case "blocked":
      return ["a", outcome.after.length, ...outcome.after]
    case "pending":
      return outcome.charge === "crash" ? ["k", JSON.stringify(outcome.failure)] : ["b"]
    case "failed":
      return ["f", JSON.stringify(outcome.failure), outcome.failure.kind]
    case "cancelled":
      return ["x", outcome.reason]
    default:
      return unreachable(outcome)
  }
}

function outputArgs({ stream, offset, data, forget }: Output): Arg[] {
  return [stream, offset, Buffer.from(data), forget?.from ?? "", forget?.to ?? ""]
}

export function noteArgs(note: Note): Arg[] {
  switch (note.kind) {
    case "progress":
      return ["p", note.progress.fraction, given(note.progress.message)]
    case "memo":
      return ["m", note.key, note.value]
    case "output":
      return ["o", ...outputArgs(note)]
    default:
      return unreachable(note)
  }
}

/** Pieces of output, six values each. */
export function chunksOf(reply: Reply | undefined): Chunk[] {
  const flat = listOf(reply)
  const chunks: Chunk[] = []
  for (let i = 0; i < flat.length; i += 6) {
    const data = flat[i + 5]
    chunks.push({
      epoch: numberOf(flat[i]),
      attempt: numberOf(flat[i + 1]),
      stream: textOf(flat[i + 2]) as Stream,
      offset: numberOf(flat[i + 3]),
      at: numberOf(flat[i + 4]),
      data: Buffer.isBuffer(data) ? data : Buffer.alloc(0),
    })
  }
  return chunks
}

/** As read_filter reads it. */
export function filterArgs({ status, queue, name, label, since, until }: Filter): Arg[] {
  const states = status?.map((one) => statusLetters[one]).join("") ?? ""
  return [
    status && states === "" ? "-" : states,
    given(queue),
    given(name),
    given(label === undefined ? undefined : escaped(label)),
    given(since === undefined ? undefined : String(since)),
    given(until === undefined ? undefined : String(until)),
  ]
}

/** "EPOCH TASK" of a run that was cancelled. */
export function noticeOf(reply: Reply, worker: string): Lease {
  const text = textOf(reply)
  const blank = text.indexOf(" ")
  return { id: text.slice(blank + 1), epoch: Number(text.slice(0, blank)), worker }
}
