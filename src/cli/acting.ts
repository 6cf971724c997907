/** Acting on tasks, by id or by FILTER: count first, ask on a terminal, never surprise a script. */
import { createInterface } from "node:readline"
import { TqError } from "../core/errors.ts"
import type { Filter } from "../core/filter.ts"
import { endStatuses, liveStatuses, type Status } from "../core/state.ts"
import type { Change, Engine, Revised } from "../engine/engine.ts"
import { type FilterFlags, filterFlags, filterFrom, isNarrow, limitFrom } from "./filter.ts"
import { idsFrom } from "./ids.ts"
import type { Session } from "./session.ts"
import { isTerminal } from "./terminal.ts"

/** What a command that acts without a FILTER takes. */
export const consentFlags = {
  yes: { type: "boolean", alias: "y", description: "do not ask" },
  "dry-run": { type: "boolean", description: "only say how many" },
} as const

export const actingFlags = { ...filterFlags, ...consentFlags } as const

export interface Acting {
  readonly session: Session
  readonly operands: readonly string[]
  readonly flags: Partial<FilterFlags> & { readonly yes: boolean; readonly "dry-run": boolean }
  readonly change: Change
  /** `cancel`, `cancelled`: as it is asked for, and as it was done. */
  readonly verb: string
  readonly done: string
  /** Narrows ids and filters alike: `tq dead retry` means failed tasks. */
  readonly within?: Filter & { readonly status: readonly Status[] }
  /** Refusals are what was wanted anyway. */
  readonly refusalIsFine?: true
}

const portion = 500

/** Tasks that a change can concern at all: what a filter means that names no status. */
const concerned: Readonly<Record<Change["kind"], readonly Status[]>> = {
  cancel: liveStatuses,
  retry: endStatuses,
  delete: [...liveStatuses.filter((status) => status !== "running"), ...endStatuses],
  reprioritise: liveStatuses,
}

export async function act(acting: Acting): Promise<number> {
  const { session, operands, flags, change, within } = acting
  const filter = filterFrom(flags, session.clock)
  const limit = limitFrom(flags)
  if (operands.length > 0) {
    if (isNarrow(filter) || limit !== undefined)
      throw new TqError("usage", "ids and a filter exclude each other")
    return actOnIds(acting)
  }
  if (!isNarrow({ ...filter, ...within }))
    throw new TqError("usage", "needs ids, or a filter such as --queue or --status")
  return actOnFilter(acting, { status: concerned[change.kind], ...filter, ...within }, limit)
}

// ── by id ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Tally {
  matching: number
  changed: number
  code: number
}

async function actOnIds(acting: Acting): Promise<number> {
  const { session, operands, flags, done, verb } = acting
  const engine = await session.engine()
  const ids = await idsFrom(operands)
  const tally: Tally = { matching: 0, changed: 0, code: 0 }
  for (let at = 0; at < ids.length; at += portion) {
    const some = ids.slice(at, at + portion)
    const wanted = acting.within || flags["dry-run"] ? await known(acting, engine, some, tally) : some
    if (!flags["dry-run"]) await changeThese(acting, engine, wanted, tally)
  }
  const { matching, changed, code } = tally
  if (session.json) session.printLine(JSON.stringify({ matching, changed }))
  else if (flags["dry-run"]) session.talk(`would ${verb} ${count(matching)}`)
  else session.talk(`${count(changed)} ${done}`)
  return code
}

/** Those that exist and are what the command is about. */
async function known(
  { session, within, flags }: Acting,
  engine: Engine,
  ids: readonly string[],
  tally: Tally,
): Promise<string[]> {
  const tasks = await engine.get(ids, amongOf(within))
  return ids.filter((id, index) => {
    const status = tasks[index]?.state.status
    const isMeant = status !== undefined && (!within || within.status.includes(status))
    if (isMeant) {
      if (flags["dry-run"]) tally.matching++
      return true
    }
    session.warn(
      status === undefined ? unknownId(id) : `${id} is ${status}, not ${within?.status.join(" or ")}`,
    )
    tally.code = 66
    return false
  })
}

async function changeThese(
  { session, change, within, refusalIsFine }: Acting,
  engine: Engine,
  ids: readonly string[],
  tally: Tally,
): Promise<void> {
  const among = amongOf(within)
  const { results } = await engine.revise({ ids, ...(among && { among }) }, change)
  for (const result of results) {
    if (result.outcome !== "unknown") tally.matching++
    if (result.outcome === "done") tally.changed++
    else if (result.outcome === "unknown") {
      session.warn(unknownId(result.id))
      tally.code = 66
    } else {
      session.warn(refusal(result, change))
      if (!refusalIsFine) tally.code ||= 75
    }
  }
}

/** Engines without lookup know failed tasks all the same. */
const amongOf = (within: Acting["within"]): "failed" | undefined =>
  within?.status.length === 1 && within.status[0] === "failed" ? "failed" : undefined

const unknownId = (id: string): string => `no task ${id} (it may have been pruned)`

function refusal({ id, status, heldBy }: Extract<Revised, { outcome: "refused" }>, change: Change): string {
  if (heldBy !== undefined)
    return `${id}: ${heldBy} is in the way (it has the same unique key, or is a parent that did not end well)`
  if (change.kind === "retry") return `${id} is ${status}: only ended tasks can be retried`
  if (change.kind === "delete") return `${id} is running: cancel it first`
  return `${id} is already ${status}`
}

// ── by filter ───────────────────────────────────────────────────────────────────────────────────────────────────

async function actOnFilter(
  acting: Acting,
  filter: Filter,
  limit = Number.POSITIVE_INFINITY,
): Promise<number> {
  const { session, flags, change, verb, done } = acting
  const engine = await session.engine()
  const matching = Math.min(limit, await engine.count(filter))
  session.talk(`${count(matching)} ${matching === 1 ? "matches" : "match"}`)
  const mayAct = !flags["dry-run"] && (flags.yes || (await confirm(session, verb, matching)))
  const changed = mayAct && matching > 0 ? await changeAll(session, engine, filter, change, limit) : 0
  session.wipeProgress()
  if (session.json) session.printLine(JSON.stringify({ matching, changed }))
  else if (mayAct) session.talk(`${count(changed)} ${done}`)
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
    changed += revision.results.filter(({ outcome }) => outcome === "done").length + (revision.unnamed ?? 0)
    left -= revision.results.length
    cursor = page ? page.cursor : revision.cursor
    if (session.showsProgress) session.progress(`${changed.toLocaleString("en")} done`)
  } while (cursor !== undefined && left > 0)
  return changed
}

/** Asks on the terminal; anything but yes, the end of input too, is no. Throws `usage` where there is nobody to ask. */
async function confirm(session: Session, verb: string, matching: number): Promise<boolean> {
  if (!isTerminal(0) || !isTerminal(2)) throw new TqError("usage", "nobody to ask here: add --yes")
  if (matching === 0) return true
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  const { promise, resolve } = Promise.withResolvers<string>()
  prompt.question(`${verb} ${count(matching)}? [y/N] `, resolve)
  prompt.on("close", () => resolve(""))
  prompt.on("SIGINT", () => {
    prompt.close()
    process.kill(process.pid, "SIGINT")
  })
  const isYes = /^y(es)?$/i.test((await promise).trim())
  prompt.close()
  if (!isYes) session.talk("nothing done")
  return isYes
}

const count = (n: number): string => `${n.toLocaleString("en")} task${n === 1 ? "" : "s"}`
