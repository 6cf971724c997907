/** A stored task as one flat JSON object: what `--json`, hooks and other programs see. Keys are camelCase, times milliseconds. */
import { constants } from "node:os"
import { type JsonText, oneLine, resultMembers, stringifySpliced, Verbatim } from "./json.ts"
import { formatBackoff } from "./retry.ts"
import type { TaskState } from "./state.ts"
import { defaultMaxRetries, fromRecord, type Task, type TaskRecord } from "./task.ts"

export interface Viewed {
  readonly record: TaskRecord
  readonly state: TaskState
}

export function viewOf(stored: Viewed): Record<string, unknown> {
  try {
    return { ...fixedMembers(fromRecord(stored.record)), ...stateMembers(stored) }
  } catch {
    // Written by a newer tq: what an engine indexes can be shown all the same.
    return { ...stored.record, body: undefined, ...stateMembers(stored), unreadable: true }
  }
}

/** What a push would store. */
export const viewDraft = (record: TaskRecord): JsonText => stringifySpliced(fixedMembers(fromRecord(record)))

/** What a schedule pushes at every tick: `in` and `expires` count from there. */
export function viewTemplate(template: Omit<Task, "id" | "createdAt">): JsonText {
  const {
    id: _,
    createdAt: __,
    runAt,
    expiresAt,
    ...members
  } = fixedMembers({
    ...template,
    id: "",
    createdAt: 0,
  })
  return stringifySpliced({ ...members, in: runAt, expires: expiresAt })
}

function fixedMembers(task: Task): Record<string, unknown> {
  const { command, backoff, runAt, expiresAt, unique, payload, ...rest } = task
  return {
    ...rest,
    maxRetries: task.maxRetries ?? defaultMaxRetries(task),
    payload: command ? undefined : new Verbatim(oneLine(payload)),
    backoff: backoff && formatBackoff(backoff),
    // The values of --env may be secrets: they are not for display.
    command: command && {
      argv: command.argv,
      cwd: command.cwd,
      env: command.env && Object.fromEntries(Object.keys(command.env).map((name) => [name, "***"])),
      stdin: command.stdin && `${command.stdin.byteLength} bytes`,
    },
    runAt: runAt && ("at" in runAt ? runAt.at : task.createdAt + runAt.in),
    expiresAt: expiresAt && ("at" in expiresAt ? expiresAt.at : task.createdAt + expiresAt.in),
    unique: unique?.key,
  }
}

function stateMembers({ record, state }: Viewed): Record<string, unknown> {
  const { result, progress, status, failures, failureCount, ...rest } = state
  return {
    id: record.id,
    status,
    ...rest,
    ...(progress && { progress: progress.fraction, progressMessage: progress.message }),
    ...(status === "completed" && result && resultMembers(result.data)),
    ...(result?.fullLength !== undefined && { truncated: true, fullLength: result.fullLength }),
    // Always there, so that exit codes of different origin cannot be confused; but a list knows no results, and no exit 0.
    exitCode: status === "completed" && !result ? undefined : (ownExit(state).exitCode ?? null),
    signal: ownExit(state).signal ?? null,
    reason: state.reason ?? null,
    failureCount,
    failures,
  }
}

/** The exit code and signal of the run that ended the task, where it had one. */
function ownExit(state: TaskState): { exitCode?: number; signal?: string } {
  const { exitCode, signal } =
    state.status === "completed" ? { ...state.result, signal: undefined } : lastFailure(state)
  return { ...(exitCode !== undefined && { exitCode }), ...(signal !== undefined && { signal }) }
}

const lastFailure = (state: TaskState) =>
  (state.status === "failed" ? (state.failures.at(-1) ?? {}) : {}) as {
    exitCode?: number
    signal?: string
  }

export const viewJson = (stored: Viewed): JsonText => stringifySpliced(viewOf(stored))

/** Real-time signals have no names, only numbers. */
const signalNumber = (name: string): number =>
  constants.signals[name as NodeJS.Signals] ?? Number(/^SIG(\d+)$/.exec(name)?.[1] ?? 0)

/** What a command that waited for this task exits with. */
export function waitedExitCode(state: TaskState): number {
  if (state.status === "completed") return state.result?.exitCode ?? 0
  if (state.status === "cancelled") return state.reason === "expired" ? 75 : 1
  const failure = state.failures.at(-1)
  if (failure?.kind === "timeout") return 143
  if (failure?.signal !== undefined) return 128 + signalNumber(failure.signal)
  return failure?.exitCode ?? 1
}
