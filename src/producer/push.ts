/** Pushes one task, with every answer that the store can give turned into what the user should know. */
import { TqError } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import { fromRecord, type Task, toRecord } from "../core/task.ts"
import type { Engine, Pushed, PushOptions, StoredTask } from "../engine/engine.ts"
import { needsStore } from "../engine/refusal.ts"
import { noticeFor } from "./notice.ts"

export interface Receipt {
  readonly id: string
  readonly isDuplicate: boolean
  /** Why nobody will run it, as things stand. */
  readonly notice: string | undefined
}

/** Refuses what the engine cannot do, before anything is written. */
export function checkSupport({ supports }: Engine, { unique, serial, after, flow }: Task): void {
  if (unique !== undefined && !supports.unique) throw needsStore("--unique")
  if (serial !== undefined && !supports.serial) throw needsStore("--serial")
  if (after !== undefined && !supports.after) throw needsStore("--after")
  if (flow !== undefined && !supports.flows) throw needsStore("a flow")
}

/** @param options `follow`: the caller will wait for its end */
export async function pushTask(engine: Engine, task: Task, options: PushOptions = {}): Promise<Receipt> {
  checkSupport(engine, task)
  const { results, audiences } = await engine.push([toRecord(task)], options)
  const pushed = results[0]!
  await refuseIfWrong(engine, task, pushed)
  const isDuplicate = pushed.outcome === "duplicate"
  return {
    id: pushed.id,
    isDuplicate,
    notice: isDuplicate ? undefined : noticeFor(task, audiences, engine.location),
  }
}

/** Throws for an unknown parent, and for an id that is already there with other content. */
export async function refuseIfWrong(engine: Engine, task: Task, pushed: Pushed): Promise<void> {
  if (pushed.outcome === "refused") {
    throw new TqError("missing", `--after: no task ${pushed.unknownParent} (it may have been pruned)`)
  }
  if (pushed.outcome !== "duplicate" || pushed.by !== "id") return
  const [existing] = await engine.get([task.id])
  const conflict = existing && conflictWith(task, existing, false)
  if (conflict) throw conflict
}

/** Why the task that has this id already is in the way of pushing `task`, if it is. */
export function conflictWith(task: Task, existing: StoredTask, failIfExists: boolean): TqError | undefined {
  if (!isSame(fromRecord(existing.record), task)) {
    const { name } = existing.record
    return new TqError("data", `the id ${task.id} is taken by another task (${name}): choose another id`)
  }
  return failIfExists ? alreadyThere(task.id) : undefined
}

/** The answer of `--fail-if-exists`. */
export const alreadyThere = (id: TaskId): TqError => new TqError("later", `${id} is already there`)

/** Whether two pushes mean the same task: everything but the times, which differ from push to push. */
const isSame = (a: Task, b: Task): boolean => essence(a) === essence(b)

function essence({ name, queue, payload, args, command }: Task): string {
  const env = Object.entries(command?.env ?? {}).sort()
  const stdin = command?.stdin && Buffer.from(command.stdin).toString("base64")
  return JSON.stringify([name, queue, payload, args, command?.argv, command?.cwd, env, stdin])
}

/** `--require-worker`: throws unless a live worker will run it. */
export async function requireWorker(engine: Engine, task: Task): Promise<void> {
  const notice = noticeFor(task, await engine.workers(), engine.location)
  if (notice !== undefined) throw new TqError("later", `not pushed: ${notice}`)
}
