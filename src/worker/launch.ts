/** From a claim to a running process or the runner that is to do it, or to the reason why there is neither. */
import type { Claim } from "../core/claim.ts"
import type { Clock, Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"
import { fromRecord, type Task } from "../core/task.ts"
import { type FailureReport, policyOf, type RunPolicy } from "../core/transition.ts"
import { failpoint } from "../failpoint.ts"
import type { Prepared } from "../flow/conducting.ts"
import type { Directories } from "../run/directories.ts"
import { runEnvironment } from "../run/environment.ts"
import type { ProcessSpec, Sink } from "../run/process.ts"
import { locateProgram } from "../run/program.ts"
import { Run } from "../run/run.ts"
import type { Pool } from "../run/runner/pool.ts"
import type { Handler } from "./crew.ts"
import type { Guardian } from "./guardian.ts"
import { type Permission, type Refusal, refusalOf } from "./permission.ts"

/** What this worker may and can run; replaced whole on reload. */
export interface Repertoire {
  /** Task name → argv of its executable. */
  readonly executables: ReadonlyMap<string, readonly string[]>
  /** Task name → the runners that have its handler. */
  readonly handlers: ReadonlyMap<string, Handler>
  readonly pools: readonly Pool[]
  /** `--exec`: runs whatever has no executable of its own. */
  readonly fallback?: readonly string[]
  readonly permission: Permission
  /** What every run finds in its environment. */
  readonly environment: Readonly<Record<string, string>>
}

export interface LaunchOptions {
  readonly guardian: Guardian
  readonly clock: Clock
  readonly directories: Directories
  /** Bytes of result kept. */
  readonly resultLimit: number
  /** Takes all that a run prints, for `--log-dir`. */
  readonly tee: (claim: Claim) => Sink | undefined
}

export type Launched =
  /** Nobody has looked lately whether its directory answers. */
  | { readonly kind: "unseen"; readonly directory: string }
  /** Of a flow, or durable: its parents' outputs or its memos have to be fetched first. */
  | { readonly kind: "unprepared" }
  | { readonly kind: "running"; readonly run: Run; readonly policy: RunPolicy }
  /** For a runner. */
  | { readonly kind: "handled"; readonly pool: Pool; readonly task: Task; readonly policy: RunPolicy }
  /** It needs a process of its own, and there is no slot for one. */
  | { readonly kind: "full" }
  /** The record makes no sense to this tq. */
  | { readonly kind: "unreadable"; readonly message: string }
  /** Not permitted here, or nothing here to run it with. */
  | { readonly kind: "unserved"; readonly message: string; readonly task: Task; readonly policy: RunPolicy }
  /** Program or directory missing: another worker may have them. */
  | {
      readonly kind: "unstartable"
      readonly failure: FailureReport
      readonly task: Task
      readonly policy: RunPolicy
    }
  /** No worker should or could start it: its signature is wrong, its arguments are too long or hold what cannot be passed. */
  | { readonly kind: "hopeless"; readonly failure: FailureReport; readonly policy: RunPolicy }
  /** The machine has no more processes or files. */
  | { readonly kind: "exhausted"; readonly code: string }

/**
 * Never throws: a task that cannot be started must not take the worker with it.
 * @param mayStart whether there is a slot for another process
 * @param prepared a flow's step with its values filled in
 */
export function launch(
  claim: Claim,
  repertoire: Repertoire,
  options: LaunchOptions,
  mayStart: () => boolean,
  outputReady: () => void,
  prepared?: Prepared,
): Launched {
  let stored: Task
  try {
    stored = fromRecord(claim.record)
  } catch (error) {
    return { kind: "unreadable", message: messageOf(error) }
  }
  const handler = stored.command ? undefined : repertoire.handlers.get(stored.name)
  const policy = policyOf(stored, handler?.settings)
  // The record as it was pushed: that is what was signed.
  const refusal = refusalOf(stored, repertoire.permission, options.clock.now())
  if (refusal) return afterRefusal(refusal, stored, policy)
  if ((stored.flow || handler?.isDurable) && !prepared) return { kind: "unprepared" }
  const task = prepared?.task ?? stored
  if (handler) return handled(handler, task, policy)
  if (!mayStart()) return { kind: "full" }
  const argv = argvFor(task, repertoire)
  if (typeof argv === "string") return { kind: "unserved", message: argv, task, policy }
  const cwd = task.command?.cwd ?? workingDirectory()
  const answers = options.directories.answers(cwd)
  if (answers === undefined) return { kind: "unseen", directory: cwd }
  if (!answers) return { kind: "unstartable", failure: silent(cwd), task, policy }
  try {
    const spec = specFor(claim, task, policy, argv, cwd, repertoire, options.clock.now(), prepared?.variables)
    if ("failure" in spec) return { kind: "unstartable", failure: spec.failure, task, policy }
    return { kind: "running", run: start(claim, policy, spec, options, outputReady), policy }
  } catch (error) {
    return afterError(error, task, policy)
  }
}

const handled = ({ pool }: Handler, task: Task, policy: RunPolicy): Launched =>
  pool.isDown
    ? { kind: "unserved", message: `the runner of ${task.name} does not come up`, task, policy }
    : { kind: "handled", pool, task, policy }

const afterRefusal = ({ kind, message }: Refusal, task: Task, policy: RunPolicy): Launched =>
  kind === "forged"
    ? { kind: "hopeless", failure: { kind: "bad signature", message }, policy }
    : { kind: "unserved", message, task, policy }

/** @returns why this worker does not run it, or its argv */
function argvFor(task: Task, { executables, fallback }: Repertoire): readonly string[] | string {
  if (task.command) return task.command.argv
  const argv = executables.get(task.name) ?? fallback
  return argv ? [...argv, ...(task.args ?? [])] : `no worker has a handler for ${task.name}`
}

function specFor(
  claim: Claim,
  task: Task,
  policy: RunPolicy,
  argv: readonly string[],
  cwd: string,
  { environment }: Repertoire,
  now: Millis,
  variables: Prepared["variables"] | undefined,
): ProcessSpec | { readonly failure: FailureReport } {
  const deadline = policy.timeout === undefined ? undefined : now + policy.timeout
  const env = runEnvironment(environment, claim, task, policy, deadline, variables)
  const located = locateProgram(argv[0]!, cwd, env.PATH ?? "/usr/local/bin:/usr/bin:/bin")
  if ("failure" in located) return located
  const stdin = task.command ? task.command.stdin : Buffer.from(task.payload)
  return { program: located.path, argv, cwd, env, ...(stdin && { stdin }) }
}

const silent = (directory: string): FailureReport => ({
  kind: "not started",
  exitCode: 127,
  message: `the directory ${directory} does not answer here`,
})

/** The worker's own; when it was removed, a path that does not exist. */
function workingDirectory(): string {
  try {
    return process.cwd()
  } catch {
    return "the worker's working directory"
  }
}

function start(
  claim: Claim,
  policy: RunPolicy,
  spec: ProcessSpec,
  { guardian, resultLimit, tee }: LaunchOptions,
  outputReady: () => void,
): Run {
  const { lease } = claim
  const sink = tee(claim)
  guardian.starting(lease)
  try {
    const run = new Run({ claim, policy, spec, resultLimit, outputReady, ...(sink && { tee: sink }) })
    failpoint("after-spawn")
    guardian.started(lease, run.pid)
    failpoint("after-start")
    return run
  } catch (error) {
    guardian.ended(lease)
    throw error
  }
}

/** Errors of spawn(2) that say nothing about the task. */
const exhaustion = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"])

/** No other worker could pass these on either. */
const hopeless: Readonly<Record<string, string>> = {
  E2BIG: "the arguments and the environment are too long for the system",
  ERR_INVALID_ARG_VALUE: "an argument or a variable holds a NUL byte",
}

const unstartable: Readonly<Record<string, string>> = {
  ENOEXEC: "the file has no #! line and is no program",
  ENOENT: "the interpreter named on its #! line does not exist here",
  EACCES: "permission denied",
  ETXTBSY: "the file is being written",
}

function afterError(error: unknown, task: Task, policy: RunPolicy): Launched {
  const code = (error as NodeJS.ErrnoException).code ?? ""
  if (exhaustion.has(code)) return { kind: "exhausted", code }
  const message = hopeless[code] ?? unstartable[code] ?? messageOf(error)
  const failure: FailureReport = { kind: "not started", exitCode: 126, message }
  return code in hopeless
    ? { kind: "hopeless", failure, policy }
    : { kind: "unstartable", failure, task, policy }
}
