/**
 * Many tasks run in one runner, whose environment is one. Each handler finds the variables of its own task in `process.env` all the same,
 * and so do the programs that it starts: `tq progress` and `tq push` in them are those of its task.
 */
import { handedOn, longestVariable } from "../environment.ts"
import { current } from "./capture.ts"
import type { TaskMessage } from "./handler-run.ts"

type Variables = Readonly<Record<string, string>>
type Spawn = (...given: unknown[]) => unknown

/** From now on `process.env`, and what Bun.spawn starts without another `env`, have the variables of the run that asks. */
export function lendVariables(): void {
  const lent = (): Variables => current.getStore()?.variables ?? {}
  process.env = new Proxy(process.env, {
    get: (own, name) => (typeof name === "string" ? lent()[name] : undefined) ?? Reflect.get(own, name),
    set: (own, name, value) => Reflect.set(own, name, value),
    has: (own, name) => Object.hasOwn(lent(), name) || Reflect.has(own, name),
    ownKeys: (own) => [...new Set([...Reflect.ownKeys(own), ...Object.keys(lent())])],
    getOwnPropertyDescriptor: (own, name) =>
      Reflect.getOwnPropertyDescriptor(lent(), name) ?? Reflect.getOwnPropertyDescriptor(own, name),
  })
  // What node:child_process and Bun.$ start has process.env as it is; Bun.spawn takes the one that the runner was started with.
  for (const name of ["spawn", "spawnSync"] as const) {
    const own = Bun[name] as Spawn
    Object.assign(Bun, { [name]: (...given: unknown[]) => own(...withEnvironment(given)) })
  }
}

/** `spawn(argv, options)` or `spawn({ cmd, …options })`. */
function withEnvironment([first, second]: readonly unknown[]): unknown[] {
  const env = { ...process.env }
  return Array.isArray(first)
    ? [first, { env, ...(second as object | undefined) }]
    : [{ env, ...(first as object) }]
}

/** What an executable handler of the task would be given. */
export function variablesOf({ flow, headers = {}, ...task }: TaskMessage): Variables {
  const input = flow ? flow.input : task.payload
  const variables: Record<string, string | undefined> = {
    TQ_TASK_ID: task.id,
    TQ_TASK_NAME: task.name,
    TQ_QUEUE: task.queue,
    TQ_ATTEMPT: String(task.attempt),
    TQ_RETRY_COUNT: String(task.retryCount),
    TQ_MAX_RETRIES: String(task.maxRetries),
    TQ_INPUT: input === null ? undefined : JSON.stringify(input),
    TQ_DEADLINE: task.deadline === undefined ? undefined : String(Math.floor(task.deadline / 1000)),
    TQ_FLOW_ID: flow?.run,
    TQ_STEP: flow?.step,
    TQ_PARENTS: flow && JSON.stringify(flow.parents),
    ...Object.fromEntries(handedOn.map(([header, variable]) => [variable, headers[header]])),
  }
  const fitting = Object.entries(variables).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && Buffer.byteLength(entry[1]) <= longestVariable,
  )
  return Object.fromEntries(fitting)
}
