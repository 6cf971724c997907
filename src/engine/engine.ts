/**
 * What tq asks of a store. The core decides, the engine stores: policy is pure code in `core/`; an engine applies it
 * atomically and contains none. One conformance suite, written only against this file, runs for every engine.
 *
 * Rules that hold for every method
 * - Time is the store's. A `When` is resolved on its clock inside the write that needs it.
 * - A lease is (id, epoch, worker id), all three compared in the step that writes. Whoever lost it is told so by a
 *   value (`lost`), never by an exception.
 * - The atomic unit is one task or one outcome with its direct bookkeeping; a batch may be split, in order.
 *   What follows from an end (dependents of a parent) may be drained later, by any claim or sweep.
 * - What an engine cannot do, `supports` says, and the methods for it reject with `unsupported`; the caller refuses it
 *   before anything is written.
 * - Errors are `TqError`s: `unreachable` when the store did not answer in time, `io` when it could not keep what it was
 *   given. After either, a write may or may not have happened; ids and fences make it safe to repeat.
 *
 * Where this differs from the first sketch of the design: the worker is an argument, not a part of the demand, because
 * a settle without a demand is refused to a dead worker too; `settle` carries the log's tail with each outcome, so that a
 * result and its log are one write; `claim` and `beat` say which leases have started, so that a dead worker's buffered
 * tasks are not charged; calls of a worker return its standing instead of throwing when it was taken for dead;
 * `wait` names its worker, because a cancel wakes one; pruning takes the retention as an argument; and `push` returns who
 * is listening.
 */
import type { Audience } from "../core/audience.ts"
import type { Claim, Lease } from "../core/claim.ts"
import type { Millis } from "../core/clock.ts"
import type { Filter, Retention } from "../core/filter.ts"
import type { TaskId } from "../core/id.ts"
import type { JsonText } from "../core/json.ts"
import type { Priority } from "../core/priority.ts"
import type { Progress, Status, TaskState } from "../core/state.ts"
import type { Dependency, TaskRecord } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"

/** What an engine may be unable to do. */
export type Capability =
  | "lookup" // get, list, follow, memos
  | "dedupe" // a second push of an id is a duplicate
  | "unique"
  | "serial"
  | "after"
  | "revise" // cancel, retry, delete, reprioritise by id or filter
  | "pause"
  | "levels" // depth per priority level
  | "cron"
  | "events"
  | "flows"
  | "fence" // a stale settle is refused
  | "crashes" // crash accounting across workers
  | "anyQueue" // claim from `*`
  | "move" // dump, restore, relocate

export interface Engine {
  readonly kind: "sqlite" | "redis" | "rabbitmq"
  readonly supports: Readonly<Record<Capability, boolean>>
  /** Where the tasks are, for messages; passwords redacted. */
  readonly location: string
  /** Whether nobody but this user can write to the store: then a command found in it is our own and may run. */
  readonly isPrivate: boolean
  /** How often a worker should beat and sweep here. */
  readonly cadence: { readonly beat: Millis; readonly sweep: Millis }

  /** Connects, and creates an empty store where there is none. Repeatable. */
  open(): Promise<void>
  /** Releases everything. Blocked calls return. Leases stay as they are. */
  close(): Promise<void>

  /**
   * Stores tasks in order and stops at the first one refused. What is reported as created is durable.
   * An id or a held unique key that is already there is a duplicate, not an error, and writes nothing.
   */
  push(tasks: readonly TaskRecord[], options?: PushOptions): Promise<PushReport>

  /** Promotes what is due, then leases up to `limit` tasks to the worker: by queue, priority, push order. */
  claim(worker: WorkerRef, demand: Demand): Promise<Claimed>

  /** Applies outcomes, each fenced by its lease; frees dependents; then claims, all in one round trip. */
  settle(worker: WorkerRef, settlements: readonly Settlement[], demand?: Demand): Promise<Settled>

  /**
   * The worker lives. The first beat of an unknown worker registers it.
   * @param started leases whose runs have begun since they were claimed into a buffer
   * @param resync given after a client rebuild, with a raised session: every lease the worker still holds. Its other leases
   *   go back uncharged, and later calls of a lower session are refused.
   */
  beat(
    worker: WorkerInfo,
    news?: { readonly started?: readonly Lease[]; readonly resync?: readonly Lease[] },
  ): Promise<Beat>

  /** The worker is gone for good, by its own will: its leases go back uncharged. */
  leave(worker: WorkerRef): Promise<void>

  /**
   * Resolves when a claim from `queues` may succeed (`work`), when a cancel or an order waits for the worker's next beat
   * (`orders`), or when `timeout` has passed. Spurious wake-ups are allowed, missed ones are not.
   */
  wait(worker: WorkerRef, queues: readonly string[], timeout: Millis, signal: AbortSignal): Promise<Wake>

  /**
   * Takes over the started and buffered tasks of dead workers: they are leased to the caller, and the core settles them.
   * Drains cascades and expires what was not started in time.
   */
  sweep(worker: WorkerRef, limit: number): Promise<Swept>

  /** Removes ended tasks that the retention no longer covers. Never parents of live dependents or held unique keys. */
  prune(retention: Retention, limit: number): Promise<{ readonly pruned: number; readonly more: boolean }>

  /** Fenced news of a run: progress, output, a memo. A memo is durable before this returns. */
  report(lease: Lease, notes: readonly Note[]): Promise<"ok" | "lost">

  /** The memos of a task, in the order in which they were stored. */
  memos(id: TaskId): Promise<ReadonlyMap<string, JsonText>>

  /** Stores an event for 7 days and wakes every task that waits for it. @returns how many woke */
  send(event: TaskEvent): Promise<number>

  /** Yields the present state at once, then every change of it, and with `output` what the run writes; ends with the task. */
  follow(id: TaskId, options: { readonly output: boolean }, signal: AbortSignal): AsyncIterable<Sighting>

  /**
   * The tasks with these ids, in this order; undefined where there is none.
   * @param among only failed ones are meant: an engine without lookup knows those too
   */
  get(ids: readonly TaskId[], among?: "failed"): Promise<readonly (StoredTask | undefined)[]>

  /** What a run wrote, in order: the last run that wrote anything, or the last of one attempt. */
  output(id: TaskId, attempt?: number): Promise<readonly Chunk[]>

  /** Newest first, a bounded page at a time, without blocking writers. Results and logs are left out. */
  list(filter: Filter, page: { readonly limit: number; readonly cursor?: string }): Promise<Page>

  /** How many tasks match. */
  count(filter: Filter): Promise<number>

  queues(): Promise<readonly QueueInfo[]>

  /** Workers believed alive. */
  workers(): Promise<readonly WorkerView[]>

  /** Changes tasks by id, all of them, or by filter, a bounded portion a call until `cursor` is undefined. */
  revise(target: Target, change: Change): Promise<Revision>

  configure(queue: string, settings: { readonly paused: boolean }): Promise<void>

  /** Asks the workers of that name or id to drain: claim nothing more, finish, exit. @returns the ids of those asked */
  drain(nameOrId: string): Promise<readonly string[]>

  crons(): Promise<readonly CronEntry[]>
  cron(name: string): Promise<CronEntry | undefined>

  /** Stores the entry if the stored one still has revision `expected` (undefined: none is there). Null removes. */
  putCron(name: string, expected: number | undefined, entry: CronDraft | null): Promise<"ok" | "changed">

  /** Entries whose tick is due, soonest first, and the time until the next one. */
  dueCrons(
    limit: number,
  ): Promise<{ readonly now: Millis; readonly wakeIn?: Millis; readonly due: readonly CronEntry[] }>

  /**
   * Fires one tick: compares revision and tick, sets the next, checks the overlap and pushes, in one step. Of any number
   * of callers exactly one gets `fired` or `skipped`. Without tasks it only sets the next tick, and is `skipped`.
   */
  fire(name: string, firing: Firing): Promise<"fired" | "lost" | "skipped">

  /**
   * All that is in the store, whole, a bounded portion a call until `cursor` is undefined, in an order in which it can be restored.
   * Of a store in use it is no snapshot.
   */
  dump(cursor?: string): Promise<{ readonly items: readonly Item[]; readonly cursor?: string }>

  /**
   * Puts items in as they were; what was running is pending, as if given back. What is there already stays as it is: a repetition
   * changes nothing. Another task of the same id, another entry of the same name is refused. @returns one for each
   */
  restore(items: readonly Item[]): Promise<readonly Restored[]>

  /**
   * Where the tasks of this store are being moved, or were. From then on pushes, claims and changes other than deletions reject:
   * with `later` while it goes on, with `config` once it is done. Null opens the store again.
   */
  relocate(relocation: Relocation | null): Promise<void>
  relocation(): Promise<Relocation | undefined>

  /**
   * What an operator should know about this store and its server; what is wrong comes with its remedy.
   * @param scope `start`: only what a worker should know before it begins, and is cheap to find out
   */
  examine(scope: "start" | "all"): Promise<readonly Finding[]>
}

// ── push ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface PushOptions {
  /** The caller will follow these tasks: an engine without lookup can tell him of no others. */
  readonly follow?: true
}

export type Pushed = { readonly id: TaskId } & (
  | { readonly outcome: "created"; readonly status: Status }
  /** `id` is that of the task already there. */
  | { readonly outcome: "duplicate"; readonly by: "id" | "unique" }
  | { readonly outcome: "refused"; readonly unknownParent: TaskId }
)

export interface PushReport {
  /** One per task, up to and including the first refused. */
  readonly results: readonly Pushed[]
  /** What the live workers serve, alike ones once. */
  readonly audiences: readonly Audience[]
}

// ── claim, settle ───────────────────────────────────────────────────────────────────────────────────────────────

export interface WorkerRef {
  /** Random per process start. */
  readonly id: string
  /** Rises by one with every client rebuild. */
  readonly session: number
}

/** Whether the store still counts on a worker: `dead` after it was swept, `superseded` for calls of a lower session. */
export type Standing = "live" | "dead" | "superseded"

export interface Demand {
  /** In order of preference; `*` means all. */
  readonly queues: readonly { readonly name: string; readonly limit: number }[]
  /** In all. */
  readonly limit: number
  /** So many of them begin at once; the rest waits in the worker's buffer. */
  readonly starting: number
  /** Bodies claimed in all; the first is given whatever its size. */
  readonly bytes: number
}

export interface Claimed {
  readonly standing: Standing
  readonly claims: readonly Claim[]
  readonly now: Millis
  /** Until something in the store becomes due; undefined when nothing is scheduled. */
  readonly wakeIn?: Millis
}

export type Wake = "work" | "orders" | "nothing"

/** An outcome and what is left to tell of its run. */
export interface Settlement {
  readonly outcome: Outcome
  readonly output?: readonly Output[]
}

export interface Settled extends Claimed {
  /** Outcomes that were refused: the lease was no longer held. */
  readonly lost: readonly Lease[]
}

// ── workers ─────────────────────────────────────────────────────────────────────────────────────────────────────

export type WorkerStatus = "running" | "draining" | "stopping"

export interface WorkerInfo extends Audience {
  readonly ref: WorkerRef
  readonly name: string
  readonly host: string
  readonly pid: number
  readonly version: string
  readonly startedAt: Millis
  readonly status: WorkerStatus
  readonly concurrency: number
  readonly running: number
  readonly completed: number
  readonly failed: number
  /** The flows that its handler files define, for whoever wants to run one by its name; engines do not read them. */
  readonly flows?: readonly unknown[]
}

export interface WorkerView extends WorkerInfo {
  /** Since its last beat, by the store's clock. */
  readonly silentFor: Millis
}

export interface Beat {
  readonly standing: Standing
  /** Leases of the worker that somebody else ended: kill those runs. */
  readonly cancelled: readonly Lease[]
  /** Of `resync`: leases that the store no longer has. */
  readonly lost: readonly Lease[]
  readonly drain: boolean
  readonly now: Millis
}

export interface Swept {
  readonly orphans: readonly Claim[]
  readonly deadWorkers: readonly string[]
  /** There is more to do at once. */
  readonly more: boolean
}

// ── a run's news ────────────────────────────────────────────────────────────────────────────────────────────────

export type Stream = "stdout" | "stderr" | "log" | "stream"

/** A piece of a run's output. */
export interface Output {
  readonly kind: "output"
  readonly stream: Stream
  /** Of the first byte, counted from the start of this stream in this run. */
  readonly offset: number
  readonly data: Uint8Array
  /** Stored chunks of this stream that lie wholly in [from, to) are to be forgotten: only head and tail are kept. */
  readonly forget?: { readonly from: number; readonly to: number }
}

export type Note =
  | { readonly kind: "progress"; readonly progress: Progress }
  | Output
  | { readonly kind: "memo"; readonly key: string; readonly value: JsonText }

export interface Chunk {
  readonly epoch: number
  readonly attempt: number
  readonly stream: Stream
  readonly offset: number
  readonly at: Millis
  readonly data: Uint8Array
}

/**
 * An event. What a waiting task finds in its memo is `{"event":PAYLOAD}`, or `{"timeout":true}` when none came.
 */
export interface TaskEvent {
  readonly name: string
  /** A waiting task with a key takes only events with the same key. */
  readonly key?: string
  readonly payload: JsonText
}

// ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────

export interface StoredTask {
  readonly record: TaskRecord
  readonly state: TaskState
}

export type Sighting =
  | { readonly kind: "state"; readonly task: StoredTask }
  | { readonly kind: "output"; readonly chunk: Chunk }
  /** It was pruned or deleted, or never existed. */
  | { readonly kind: "gone" }

export interface Page {
  readonly tasks: readonly StoredTask[]
  /** Where the next page begins; undefined on the last. */
  readonly cursor?: string
}

export interface QueueInfo {
  readonly queue: string
  readonly paused: boolean
  readonly counts: Readonly<Record<Status, number>>
  /** Pending tasks per priority level 0..10. */
  readonly levels: readonly number[]
  /** Tasks that workers gave back because none may or can run them. */
  readonly unserved: number
  /** The age of the oldest pending task. */
  readonly oldest?: Millis
}

// ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

export type Target =
  /** `among`: as for `get`. */
  | { readonly ids: readonly TaskId[]; readonly among?: "failed" }
  | { readonly filter: Filter; readonly cursor?: string }

export type Change =
  | { readonly kind: "cancel"; readonly reason: string }
  /** Failed, cancelled and completed tasks run anew. */
  | { readonly kind: "retry" }
  /** A running task is refused: cancel it first. */
  | { readonly kind: "delete" }
  | { readonly kind: "reprioritise"; readonly priority: Priority }

export type Revised = { readonly id: TaskId } & (
  | { readonly outcome: "done" }
  | { readonly outcome: "unknown" }
  /** Its state does not allow the change, or `heldBy` has its unique key. */
  | { readonly outcome: "refused"; readonly status: Status; readonly heldBy?: TaskId }
)

export interface Revision {
  /** By ids: one for each. By filter: those that the change allowed. */
  readonly results: readonly Revised[]
  /** How many more were done, where the store does not say which. */
  readonly unnamed?: number
  readonly cursor?: string
}

// ── cron ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Overlap = "skip" | "allow" | "replace"

export interface CronDraft {
  /** What to push and when, as the core wrote it; engines do not read it. */
  readonly spec: string
  /** The next tick; undefined when it has none any more. */
  readonly next?: Millis
  readonly paused: boolean
}

export interface CronEntry extends CronDraft {
  readonly name: string
  /** Rises with every `putCron`, also after a removal. */
  readonly revision: number
  readonly lastTick?: Millis
  readonly lastTasks: readonly TaskId[]
  /** Ticks left out because the tasks of the last one were still live. */
  readonly skipped: number
}

export interface Firing {
  readonly revision: number
  /** The tick that is due. */
  readonly tick: Millis
  /** The tick that becomes `lastTick`, where one firing stands for several; else `tick`. */
  readonly last?: Millis
  readonly next?: Millis
  readonly tasks: readonly TaskRecord[]
  /** Looks at the tasks of the last tick that fired. `replace` cancels those still live. */
  readonly overlap: Overlap
}

// ── moving, looking after ───────────────────────────────────────────────────────────────────────────────────────

/** A task with all that hangs on it, but not what it waits for: its parents may come later. */
export interface WholeTask extends StoredTask {
  readonly tally?: string
  /** Given back because nobody may or can run it. */
  readonly unserved?: true
  /** Of a waiting task. */
  readonly wait?: { readonly event: string; readonly key?: string; readonly memo: string }
  readonly memos: readonly { readonly key: string; readonly value: JsonText }[]
  /** Events that it has taken, and does not take a second time. */
  readonly consumed: readonly Pick<StoredEvent, "name" | "key" | "at">[]
  /** Of all runs that are kept. */
  readonly output: readonly Chunk[]
}

export interface StoredEvent extends TaskEvent {
  readonly at: Millis
}

/** What a store is made of, as a copy carries it. */
export type Item =
  | { readonly kind: "queue"; readonly queue: string; readonly paused: boolean }
  /** The `nth` of those that are alike in everything, from 1. */
  | { readonly kind: "event"; readonly event: StoredEvent; readonly nth: number }
  | { readonly kind: "task"; readonly task: WholeTask }
  /** After all tasks: what one depends on. A parent once satisfied stays so, whatever a later run of it comes to. */
  | {
      readonly kind: "after"
      readonly id: TaskId
      readonly parents: readonly (Dependency & { readonly satisfied: boolean })[]
    }
  /** After all tasks: which of a serial key's tasks comes first. Without a front, the one pushed first. */
  | { readonly kind: "serial"; readonly key: string; readonly front?: TaskId }
  | { readonly kind: "cron"; readonly entry: CronEntry }

export type Restored =
  | { readonly outcome: "restored" | "present" }
  | { readonly outcome: "refused"; readonly reason: string }

export interface Relocation {
  /** A URL for messages, without its password. */
  readonly to: string
  readonly isDone: boolean
}

export interface Finding {
  /** What was looked at: `version`, `persistence`. */
  readonly about: string
  /** `wrong`: tasks may be lost, or do not run. */
  readonly verdict: "fine" | "doubtful" | "wrong"
  /** One sentence without a full stop. */
  readonly text: string
  /** What to do about it. */
  readonly remedy?: string
}
