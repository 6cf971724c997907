/** Starts a run: one push. */
import type { Clock, Random } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import { stepTaskId } from "../core/flow.ts"
import { checkId, type TaskId, ulids } from "../core/id.ts"
import { type JsonText, parseJson } from "../core/json.ts"
import { checkQueueName, globMatches } from "../core/name.ts"
import { defaultPriority, parsePriority } from "../core/priority.ts"
import { type Task, toRecord } from "../core/task.ts"
import type { Engine, WorkerView } from "../engine/engine.ts"
import { checkSize } from "../producer/draft.ts"
import { refuseIfWrong } from "../producer/push.ts"
import type { FlowDocument } from "./document.ts"
import { runTask } from "./expand.ts"
import { inputOf } from "./input.ts"
import { getAll, refuseWithoutFlows } from "./look.ts"

export interface RunOptions {
  readonly id?: string
  readonly input?: JsonText
  readonly queue?: string
  readonly priority?: string
  readonly label?: string
}

export interface Started {
  readonly id: TaskId
  readonly isDuplicate: boolean
  /** What keeps it from running, as things stand. */
  readonly notices: readonly string[]
}

/** What the process that starts it has at hand. */
export interface Starting {
  readonly clock: Clock
  readonly random: Random
  /** Bytes of an input. */
  readonly payloadLimit: number
  readonly sign?: ((task: Task) => Task) | undefined
}

/** Throws before anything is written when the engine or its workers cannot run it. */
export async function startRun(
  engine: Engine,
  document: FlowDocument,
  options: RunOptions,
  by: Starting,
): Promise<Started> {
  refuseWithoutFlows(engine)
  const unsigned = taskOfRun(document, options, by)
  await refuseBySchema(document, unsigned.payload)
  const workers = await engine.workers()
  refuseMissingHandlers(unsigned, document, workers, engine)
  if (options.id !== undefined) await refuseLeftovers(engine, unsigned, document)
  const task = by.sign?.(unsigned) ?? unsigned
  const { results } = await engine.push([toRecord(task)])
  const pushed = results[0]!
  await refuseIfWrong(engine, task, pushed)
  return {
    id: pushed.id,
    isDuplicate: pushed.outcome === "duplicate",
    notices: noticesFor(task, document, workers, engine),
  }
}

/** The task that is the run, not signed. */
export function taskOfRun(document: FlowDocument, options: RunOptions, by: Starting): Task {
  const input = inputOf(document, options.input)
  checkSize("input", Buffer.byteLength(input), by.payloadLimit)
  const { id, queue, priority, label } = options
  return runTask(document.plan, {
    id: id === undefined ? ulids(by.clock, by.random)() : checkId(id),
    input,
    queue: queue === undefined ? (document.queue ?? "default") : checkQueueName(queue),
    priority: priority === undefined ? (document.priority ?? defaultPriority) : parsePriority(priority),
    createdAt: by.clock.now(),
    ...(label !== undefined && { label }),
  })
}

/** Its handlers would refuse it too, but only once it runs. */
export async function refuseBySchema(document: FlowDocument, input: JsonText): Promise<void> {
  const complaint = await document.complaint?.(parseJson(input, "the input"))
  if (complaint !== undefined)
    throw new TqError("data", `flow ${document.plan.name} refuses its input: ${complaint}`)
}

/** Of a run that was deleted, steps may be left: one of the same id would take what they came to for its own. */
async function refuseLeftovers(engine: Engine, { id }: Task, { plan }: FlowDocument): Promise<void> {
  const [run] = await engine.get([id])
  if (run) return
  const steps = await getAll(
    engine,
    plan.steps.map((step) => stepTaskId(id, step.id)),
  )
  const left = steps.find((step) => step)
  if (!left) return
  const { id: step } = left.record
  throw new TqError(
    "exists",
    `run ${id}: the step ${step} of an earlier one is still there: give it another id`,
  )
}

const serves = ({ queues }: WorkerView, queue: string): boolean =>
  queues.includes("*") || queues.includes(queue)

/** Workers that serve the queue are there, and none of them knows the task: it is misspelt, or its worker is down. */
function refuseMissingHandlers(
  task: Task,
  { plan }: FlowDocument,
  workers: readonly WorkerView[],
  engine: Engine,
): void {
  for (const { id, work, queue } of plan.steps) {
    if (work.kind !== "task") continue
    const able = workers.filter((worker) => serves(worker, queue ?? task.queue))
    if (
      able.length === 0 ||
      able.some(({ handlers }) => handlers.some((glob) => globMatches(glob, work.name)))
    )
      continue
    throw new TqError(
      "later",
      `step ${id}: no worker on queue ${JSON.stringify(queue ?? task.queue)} has a handler for ${work.name} on ${engine.location}: nothing was pushed`,
    )
  }
}

/** What will keep a run from going on, as things stand. */
export function noticesFor(
  task: Task,
  { plan }: FlowDocument,
  workers: readonly WorkerView[],
  { location }: Engine,
): string[] {
  if (workers.length === 0) return [`no worker is running on ${location}: start one with tq work`]
  const queues = new Set([task.queue, ...plan.steps.map(({ queue }) => queue ?? task.queue)])
  return [...queues]
    .filter((queue) => !workers.some((worker) => serves(worker, queue)))
    .map((queue) => `no worker serves queue ${JSON.stringify(queue)} on ${location}`)
}
