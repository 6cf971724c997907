/**
 * Moves everything from one store to another: waits until nobody works on the old one, closes it, copies, compares, and leaves a
 * mark that says where the tasks are now. Whatever interrupts it, the old store stays closed and complete, and the same command
 * goes on where it was; `--abort` opens it again.
 */
import type { Clock, Random } from "../core/clock.ts"
import { counted } from "../core/counted.ts"
import { TqError } from "../core/errors.ts"
import { workerId } from "../core/id.ts"
import { type Status, statuses } from "../core/state.ts"
import type { Engine, WorkerInfo } from "../engine/engine.ts"
import { failpoint } from "../failpoint.ts"
import { outcomeOfOrphaned } from "../worker/sweeper.ts"
import { Copy, describeRefusal, itemsOf } from "./copy.ts"

export interface MoveOptions {
  readonly source: Engine
  readonly target: Engine
  readonly waitDrained: boolean
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly signal: AbortSignal
  readonly progress: (text: string) => void
  readonly remark: (text: string) => void
}

/** Between two looks at who still works there, and at whom the store takes for dead. */
const lookAgain = 250

/** @returns what was copied; undefined when it had been moved there before */
export async function move(options: MoveOptions): Promise<Copy | undefined> {
  const { source, target, signal, remark } = options
  if (source.location === target.location) {
    throw new TqError("usage", `--to is where the tasks are already: ${source.location}`)
  }
  const to = target.location
  if (await isMoved(source, to)) return undefined
  await prepareTarget(options)
  await close(options, to)
  const copy = new Copy(target, (tasks) => {
    options.progress(`${counted(tasks, "task")} copied`)
    failpoint("mid-move")
  })
  for await (const item of itemsOf(source)) {
    signal.throwIfAborted()
    await copy.add(item)
  }
  await copy.finish()
  failpoint("mid-move")
  await compare(options, copy)
  await source.relocate({ to, isDone: true })
  if (copy.unsignedCommands > 0) {
    remark(
      `not signed, so that workers on ${to} run them only with --allow-commands: ${counted(copy.unsignedCommands, "command")}`,
    )
  }
  return copy
}

/** Throws where it is on its way to another place. */
async function isMoved(source: Engine, to: string): Promise<boolean> {
  const relocation = await source.relocation()
  if (!relocation || (relocation.to === to && !relocation.isDone)) return false
  if (relocation.to === to) return true
  const { isDone } = relocation
  throw new TqError(
    "exists",
    isDone
      ? `${source.location} was moved to ${relocation.to} before`
      : `${source.location} is being moved to ${relocation.to}: finish that, or tq move --abort`,
  )
}

/** Closes the source, and sees to it that nobody has a task of it any more. What fails before the copy begins, opens it again. */
async function close(options: MoveOptions, to: string): Promise<void> {
  const { source, target } = options
  const isClosed = (await source.relocation()) !== undefined
  if (!isClosed) {
    await untilNobodyWorks(options)
    await source.relocate({ to, isDone: false })
  }
  try {
    // Under another name it may be the same store: then it has just been closed too.
    if (!isClosed && (await target.relocation())) {
      throw new TqError("usage", `--to is where the tasks are already: ${target.location} is the same store`)
    }
    // Whoever came in between cannot claim any more, but may have claimed before.
    await untilNobodyWorks(options)
    await bringBackOrphans(options)
  } catch (error) {
    if (!isClosed) await source.relocate(null)
    throw error
  }
}

/** A store that was moved here before holds an old copy of the same tasks: it is emptied and opened again. */
async function prepareTarget({ source, target, remark }: MoveOptions): Promise<void> {
  const relocation = await target.relocation()
  if (!relocation) return
  if (relocation.to !== source.location || !relocation.isDone) {
    throw new TqError("exists", `${target.location} is itself on its way to ${relocation.to}`)
  }
  remark(`${target.location} was moved here before: its old copy is deleted`)
  let cursor: string | undefined
  do {
    const portion = await target.revise(
      { filter: {}, ...(cursor !== undefined && { cursor }) },
      { kind: "delete" },
    )
    cursor = portion.cursor
  } while (cursor !== undefined)
  for (const { name, revision } of await target.crons()) await target.putCron(name, revision, null)
  await target.relocate(null)
}

async function untilNobodyWorks({ source, waitDrained, signal, progress }: MoveOptions): Promise<void> {
  const asked = new Set<string>()
  for (;;) {
    const workers = await source.workers()
    if (workers.length === 0) return
    if (!waitDrained) {
      const names = workers.map(({ name }) => name).join(", ")
      const many = workers.length === 1 ? "a worker lives" : `${workers.length} workers live`
      throw new TqError("later", `${many} on ${source.location} (${names}): stop them, or --wait-drained`)
    }
    for (const { ref } of workers) {
      if (asked.has(ref.id)) continue
      asked.add(ref.id)
      await source.drain(ref.id)
    }
    progress(`waiting for ${counted(workers.length, "worker")} to finish what they run`)
    signal.throwIfAborted()
    await Bun.sleep(lookAgain)
  }
}

/** What dead workers had in hand is settled as any worker would settle it, before it is copied. */
async function bringBackOrphans(options: MoveOptions): Promise<void> {
  const { source, clock, random, version, signal, progress } = options
  const id = workerId(random)
  const mover: WorkerInfo = {
    ref: { id, session: 1 },
    name: "tq move",
    host: "",
    pid: process.pid,
    version,
    startedAt: clock.now(),
    status: "draining",
    concurrency: 0,
    running: 0,
    completed: 0,
    failed: 0,
    queues: [],
    handlers: [],
    commands: false,
  }
  try {
    for (;;) {
      const { now } = await source.beat(mover)
      const { orphans, more } = await source.sweep(mover.ref, 200)
      const outcomes = orphans.map((claim) => outcomeOfOrphaned(claim, { now, random }))
      if (outcomes.length > 0)
        await source.settle(
          mover.ref,
          outcomes.map((outcome) => ({ outcome })),
        )
      const running = await source.count({ status: ["running"] })
      if (running === 0 && !more) return
      signal.throwIfAborted()
      if (more || orphans.length > 0) continue
      progress(`waiting for ${counted(running, "task")} of dead workers`)
      await Bun.sleep(lookAgain)
    }
  } finally {
    await source.leave(mover.ref)
  }
}

/** What came from the source must be in the target; where nobody works on that yet, nothing else may be missing either. */
async function compare({ source, target }: MoveOptions, copy: Copy): Promise<void> {
  const [first, ...others] = copy.refusals
  if (first) {
    const more = others.length > 0 ? ` (and ${others.length} more)` : ""
    throw new TqError(
      "exists",
      `not moved: ${target.location} refuses ${describeRefusal(first)}${more}: settle that and repeat, or tq move --abort`,
    )
  }
  const missing: string[] = []
  for (const status of statuses) {
    const expected = await source.count({ status: [status] })
    if (copy.count(status) !== expected) missing.push(`${copy.count(status)} of ${expected} ${status}`)
  }
  const isQuiet = (await target.workers()).length === 0
  for (const kind of isQuiet ? comparable : []) {
    const expected = await source.count({ status: kind })
    const found = await target.count({ status: kind })
    if (found < expected) missing.push(`${found} of ${expected} ${kind[0]} in ${target.location}`)
  }
  if (missing.length === 0) return
  throw new TqError(
    "internal",
    `not moved: only ${missing.join(", ")} arrived; ${source.location} stays closed`,
  )
}

/** A task that waits may become due on the way, but it does not end without a worker. */
const comparable: readonly (readonly Status[])[] = [["completed"], ["failed"], ["cancelled"]]
