/** One task for people. */

import type { Millis } from "../core/clock.ts"
import { counted } from "../core/counted.ts"
import { formatDuration, humanDuration } from "../core/duration.ts"
import { rawLength } from "../core/json.ts"
import { formatBackoff } from "../core/retry.ts"
import { signingKeyOf } from "../core/signature.ts"
import { attemptOf, type Failure, isEnd, type Result, type TaskState } from "../core/state.ts"
import { defaultMaxRetries, legibleTask, type Task } from "../core/task.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import { whyNotRunning } from "../waiting/why.ts"
import { commandLine } from "./quote.ts"
import type { Session } from "./session.ts"
import { statusStyle } from "./tasks.ts"
import { type Paint, printable } from "./terminal.ts"

export type Line = readonly [label: string, text: string | undefined]

export async function describeTask(session: Session, engine: Engine, stored: StoredTask): Promise<string> {
  const { state } = stored
  const now = session.clock.now()
  const paint = session.paint
  const task = legibleTask(stored.record)
  const why =
    isEnd(state.status) || state.status === "running" ? undefined : await whyNotRunning(engine, stored, now)
  const style = statusStyle(state.status)
  const status = `${state.status}${state.reason ? ` (${state.reason})` : ""}`
  return format(paint, [
    ["id", task.id],
    ["status", style ? paint(style, status) : status],
    ["why", why],
    ...subjectLines(task),
    ...settingLines(task, now),
    ...runLines(task, state, now),
    ...state.failures.map((failure): Line => ["failure", describeFailure(failure)]),
  ])
}

/** A task, or what a schedule will push. */
type Described = Omit<Task, "id" | "createdAt">

export function subjectLines(task: Described): Line[] {
  return [
    ["name", task.name],
    ["command", task.command && commandLine(task.command.argv)],
    ["directory", task.command?.cwd],
    // The values may be secrets.
    [
      "environment",
      task.command?.env &&
        Object.keys(task.command.env)
          .map((name) => `${name}=***`)
          .join(" "),
    ],
    ["payload", task.command ? undefined : shortened(task.payload)],
    ["queue", task.queue],
    ["priority", String(task.priority)],
    ["label", task.label],
    ["signed with", task.signature === undefined ? undefined : `key ${signingKeyOf(task)}`],
  ]
}

export function settingLines(task: Described, now: Millis): Line[] {
  const retries = task.maxRetries ?? defaultMaxRetries(task)
  return [
    [
      "retries",
      `at most ${retries}${task.backoff ? `, backoff ${formatBackoff(task.backoff)}` : ""}${task.once ? ", runs only once" : ""}`,
    ],
    ["timeout", task.timeout === undefined ? undefined : formatDuration(task.timeout)],
    ["soft timeout", task.softTimeout === undefined ? undefined : formatDuration(task.softTimeout)],
    ["after", task.after?.map(({ id, on }) => (on === "ended" ? `${id} (any end)` : id)).join(", ")],
    ["unique", task.unique?.key],
    ["serial", task.serial],
    ["expires", task.expiresAt && "at" in task.expiresAt ? instant(task.expiresAt.at, now) : undefined],
  ]
}

function runLines(task: Task, state: TaskState, now: Millis): Line[] {
  const { startedAt, finishedAt, progress, result, runAt } = state
  const ran = startedAt === undefined ? undefined : (finishedAt ?? now) - startedAt
  const isRun = state.status === "running" || isEnd(state.status)
  return [
    ["pushed", instant(task.createdAt, now)],
    ["due", state.status === "scheduled" && runAt !== undefined ? instant(runAt, now) : undefined],
    ["attempt", state.epoch === 0 ? undefined : String(attemptOf(state))],
    ["crashes", state.crashes === 0 ? undefined : String(state.crashes)],
    ["postponed", state.postponements === 0 ? undefined : counted(state.postponements, "time")],
    ["worker", state.workerId],
    ["started", startedAt === undefined ? undefined : instant(startedAt, now)],
    ["ran", ran === undefined || !isRun ? undefined : humanDuration(ran)],
    [
      "progress",
      progress && `${Math.round(progress.fraction * 100)}%${progress.message ? ` ${progress.message}` : ""}`,
    ],
    ["exit code", result?.exitCode === undefined ? undefined : String(result.exitCode)],
    ["result", result && describeResult(result)],
  ]
}

function describeFailure({ attempt, kind, message, stderr }: Failure): string {
  const last = stderr?.trimEnd().split("\n").at(-1)
  return `attempt ${attempt}: ${message}${message.includes(kind) || kind === "exit" ? "" : ` (${kind})`}${last ? `: ${shortened(last)}` : ""}`
}

function describeResult({ data, fullLength }: Result): string {
  const cut = fullLength === undefined ? "" : ` of ${fullLength}, the first and the last`
  const size = `${rawLength(data)} bytes${cut}`
  if (typeof data !== "string") return `${size}, not text`
  const text = data.trimEnd()
  return cut !== "" || text.includes("\n") || text.length > 200 ? `${size}: ${shortened(text)}` : text
}

const shortened = (text: string): string => {
  const line = text.split("\n", 1)[0]!
  return line.length > 200 || line.length < text.length ? `${line.slice(0, 200)} …` : line
}

export function instant(at: Millis, now: Millis): string {
  const distance = at > now ? `in ${humanDuration(at - now)}` : `${humanDuration(now - at)} ago`
  return `${new Date(at).toISOString()} (${distance})`
}

export function format(paint: Paint, lines: readonly Line[]): string {
  const shown = lines.filter(
    (line): line is readonly [string, string] => line[1] !== undefined && line[1] !== "",
  )
  const width = Math.max(...shown.map(([label]) => label.length))
  return shown
    .map(
      ([label, text]) =>
        `${paint("bold", label.padEnd(width))}  ${label === "status" ? text : printable(text)}\n`,
    )
    .join("")
}
