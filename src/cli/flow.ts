/** Runs of flows for people: a drawing of the steps with their states and times. */
import type { Millis } from "../core/clock.ts"
import { humanDuration } from "../core/duration.ts"
import type { Step } from "../core/flow.ts"
import { attemptOf, isEnd, type TaskState } from "../core/state.ts"
import { draw } from "../flow/draw.ts"
import { type SeenRun, type SeenStep, whyOf } from "../flow/look.ts"
import type { RunStatus } from "../flow/state.ts"
import type { Session } from "./session.ts"
import { statusStyle } from "./tasks.ts"
import { printable, type Style } from "./terminal.ts"

const marks: Readonly<Record<TaskState["status"], string>> = {
  blocked: "·",
  scheduled: "◷",
  waiting: "◇",
  pending: "○",
  running: "◐",
  completed: "●",
  failed: "✗",
  cancelled: "⊘",
}

export const runStyle = (status: RunStatus): Style | undefined => statusStyle(status)

/** What goes on in the items of a mapped step. */
export interface ItemCount {
  readonly ended: number
  readonly all: number
  /** Of the first of them: the step itself has only waited. */
  readonly startedAt?: Millis
}

export type ItemCounts = ReadonlyMap<string, ItemCount>

export function describeRun(session: Session, run: SeenRun, items: ItemCounts): string {
  const { row, task, plan, status, steps } = run
  const now = session.clock.now()
  const { paint } = session
  const style = runStyle(status)
  const ended = isEnd(row.state.status) ? row.state.finishedAt : undefined
  const took = humanDuration((ended ?? now) - task.createdAt)
  const when = ended === undefined ? `for ${took}` : `in ${took}`
  const reason = status === "failed" || status === "cancelled" ? whyOf(row.state) : undefined
  const head = `${paint("bold", task.id)}  ${plan.name}  ${style ? paint(style, status) : status} ${when}`
  return `${head}${reason === undefined ? "" : `  ${printable(reason)}`}\n\n${drawing(session, steps, plan, items, now)}`
}

function drawing(
  session: Session,
  steps: readonly SeenStep[],
  plan: SeenRun["plan"],
  items: ItemCounts,
  now: Millis,
): string {
  const { paint } = session
  const byId = new Map(steps.map((seen) => [seen.step.id, seen]))
  const stateOf = ({ id }: Step) => byId.get(id)?.stored?.state
  const rows = draw(plan, (step) => {
    const state = stateOf(step)
    if (state && isSkipped(state)) return "↷"
    return state ? marks[state.status] : "·"
  })
  const width = Math.max(...rows.map(({ lanes }) => Bun.stringWidth(lanes)))
  const idWidth = Math.max(...steps.map(({ step }) => step.id.length))
  return rows
    .map(({ lanes, step, mark }) => {
      if (!step) return `${paint("dim", lanes)}\n`
      const state = stateOf(step)
      const style = state && statusStyle(state.status)
      const painted = style && mark !== undefined ? paintAt(session, lanes, mark, style) : lanes
      const gap = " ".repeat(width - Bun.stringWidth(lanes) + 2)
      const words = state ? wordsFor(session, step, state, items.get(step.id), now) : "not there yet"
      return `${painted}${gap}${step.id.padEnd(idWidth)}  ${words}\n`
    })
    .join("")
}

function paintAt(session: Session, lanes: string, mark: number, style: Style): string {
  const characters = [...lanes]
  return characters.map((char, at) => (at === mark ? session.paint(style, char) : char)).join("")
}

/** The status first, then what is to be known of it. */
function wordsFor(
  { paint }: Session,
  { work }: Step,
  state: TaskState,
  items: ItemCount | undefined,
  now: Millis,
): string {
  const { status, finishedAt, reason, progress } = state
  const startedAt = items?.startedAt ?? state.startedAt
  if (isSkipped(state)) return `${paint("dim", "skipped")}  ${printable(reason!.replace(/^skipped: /, ""))}`
  const style = statusStyle(status)
  const isRun = status === "running" || (isEnd(status) && state.epoch > 0)
  const attempt = state.epoch > 0 ? attemptOf(state) : 1
  const isQuestion = status === "waiting" && work.kind === "approve"
  const detail = isQuestion ? work.message : whyOf(state)
  const words = [
    style ? paint(style, status) : status,
    isRun && startedAt !== undefined ? humanDuration((finishedAt ?? now) - startedAt) : "",
    attempt > 1 ? `attempt ${attempt}` : "",
    items && items.all > 0 ? `${items.ended} of ${items.all} items` : "",
    status === "running" && progress
      ? `${Math.round(progress.fraction * 100)}% ${printable(progress.message ?? "")}`.trimEnd()
      : "",
    printable(detail ?? ""),
  ]
  return words.filter((word) => word !== "").join("  ")
}

const isSkipped = ({ status, reason }: TaskState): boolean =>
  status === "completed" && reason?.startsWith("skipped") === true
