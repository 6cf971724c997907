/** Acting on tasks, by id or by FILTER: count first, ask on a terminal, never surprise a script. */
import { createInterface } from "node:readline/promises"
import { TqError } from "../core/errors.ts"
import type { Filter } from "../core/filter.ts"
import type { Change, Engine, Revised } from "../engine/engine.ts"
import { type FilterFlags, filterFlags, filterFrom, isNarrow, limitFrom } from "./filter.ts"
import { idsFrom } from "./ids.ts"
import type { Session } from "./session.ts"
import { isTerminal } from "./terminal.ts"

export const actingFlags = {
  ...filterFlags,
  yes: { type: "boolean", alias: "y", description: "do not ask" },
  "dry-run": { type: "boolean", description: "only say how many" },
} as const

export interface Acting {
  readonly session: Session
  readonly operands: readonly string[]
  readonly flags: FilterFlags & { readonly yes: boolean; readonly "dry-run": boolean }
  readonly change: Change
  /** `cancelled`: what was done to them. */
  readonly done: string
  /** Narrows every filter: `tq dead retry` means failed tasks. */
  readonly within?: Filter
  /** Refusals of this kind are what was wanted anyway. */
  readonly isFine?: (refused: Extract<Revised, { outcome: "refused" }>) => boolean
}

const portion = 500

export async function act(acting: Acting): Promise<number> {
  const { session, operands, flags } = acting
  const filter = { ...filterFrom(flags, session.clock), ...acting.within }
  if (operands.length > 0) {
    if (isNarrow(filterFrom(flags, session.clock)))
      throw new TqError("usage", "ids and a filter exclude each other")
    return actOnIds(acting)
  }
  if (!isNarrow(filter)) throw new TqError("usage", "needs ids, or a filter such as --queue or --status")
  return actOnFilter(acting, filter)
}

async function actOnIds({ session, operands, flags, change, done, isFine }: Acting): Promise<number> {
  const engine = await session.engine()
  const ids = await idsFrom(operands)
  if (flags["dry-run"]) {
    session.talk(`${count(ids.length)} would be ${done}`)
    return 0
  }
  let code = 0
  let changed = 0
  for (let at = 0; at < ids.length; at += portion) {
    const { results } = await engine.revise({ ids: ids.slice(at, at + portion) }, change)
    for (const result of results) {
      if (result.outcome === "done") changed++
      else if (result.outcome === "unknown") {
        session.warn(`no task ${result.id} (it may have been pruned)`)
        code = 66
      } else {
        session.warn(refusal(result, change))
        if (!isFine?.(result)) code ||= 75
      }
    }
  }
  tell(session, changed, done)
  return code
}

function refusal({ id, status, heldBy }: Extract<Revised, { outcome: "refused" }>, change: Change): string {
  if (heldBy !== undefined)
    return `${id}: ${heldBy} is in the way (it has the same unique key, or is a parent that did not end well)`
  if (change.kind === "retry") return `${id} is ${status}: only ended tasks can be retried`
  if (change.kind === "delete") return `${id} is running: cancel it first`
  return `${id} is already ${status}`
}

async function actOnFilter({ session, flags, change, done }: Acting, filter: Filter): Promise<number> {
  const engine = await session.engine()
  const limit = limitFrom(flags) ?? Number.POSITIVE_INFINITY
  const matching = Math.min(limit, await engine.count(filter))
  session.talk(`${count(matching)} ${matching === 1 ? "matches" : "match"}`)
  if (flags["dry-run"] || matching === 0) {
    if (session.json) session.printLine(JSON.stringify({ matching, changed: 0 }))
    return 0
  }
  if (!flags.yes && !(await confirm(`${done} ${count(matching)}?`))) return 0
  const changed = await changeAll(session, engine, filter, change, limit)
  session.endProgress()
  tell(session, changed, done)
  return 0
}

/** Without a limit in push order, the engine's own portions; with one the newest, as `tq list` shows them. */
async function changeAll(
  session: Session,
  engine: Engine,
  filter: Filter,
  change: Change,
  limit: number,
): Promise<number> {
  let changed = 0
  let left = limit
  let cursor: string | undefined
  do {
    const from = cursor === undefined ? {} : { cursor }
    const page =
      limit === Number.POSITIVE_INFINITY
        ? undefined
        : await engine.list(filter, { limit: Math.min(left, portion), ...from })
    const target = page ? { ids: page.tasks.map(({ record }) => record.id) } : { filter, ...from }
    const revision = await engine.revise(target, change)
    changed += revision.results.filter(({ outcome }) => outcome === "done").length
    left -= revision.results.length
    cursor = page ? page.cursor : revision.cursor
    if (session.showsProgress) session.progress(`${changed.toLocaleString("en")} done`)
  } while (cursor !== undefined && left > 0)
  return changed
}

export async function confirm(question: string): Promise<boolean> {
  if (!isTerminal(0) || !isTerminal(2)) throw new TqError("usage", "nobody to ask: add --yes")
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await prompt.question(`${question} [y/N] `)
  prompt.close()
  return /^y(es)?$/i.test(answer.trim())
}

function tell(session: Session, changed: number, done: string): void {
  if (session.json) session.printLine(JSON.stringify({ changed }))
  else session.talk(`${count(changed)} ${done}`)
}

const count = (n: number): string => `${n.toLocaleString("en")} task${n === 1 ? "" : "s"}`
