/** Turns a crontab into entries, and says of each line that it could not take why. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import type { Session } from "../cli/session.ts"
import { readStdin } from "../cli/stdin.ts"
import { homeOf } from "../config.ts"
import { messageOf, TqError } from "../core/errors.ts"
import type { Engine } from "../engine/engine.ts"
import { plainDrafting } from "../producer/drafting.ts"
import { passwdHomes, userName } from "../users.ts"
import { type CrontabKind, isSystemCrontab, parseCrontab, spoolOwner } from "./crontab.ts"
import { type JobContext, type NamedPlan, planOfJob } from "./job.ts"

export interface Taken extends NamedPlan {
  readonly line: number
  /** As the crontab has it. */
  readonly command: string
}

export interface Left {
  readonly line: number
  readonly why: string
}

export interface Crontab {
  readonly taken: readonly Taken[]
  readonly left: readonly Left[]
  /** What is taken, but is not quite as it was. */
  readonly remarks: readonly string[]
}

export interface CrontabSource {
  /** `-` is stdin. */
  readonly path: string
  readonly system: boolean
  readonly prefix: string | undefined
  readonly userQueue: string | undefined
}

/** Reads a crontab into plans. Throws when there is no such file. */
export async function readCrontab(session: Session, engine: Engine, source: CrontabSource): Promise<Crontab> {
  const { path, system, prefix = "", userQueue } = source
  const where = resolve(path)
  const kind: CrontabKind = system || isSystemCrontab(where) ? "system" : "user"
  const user = userName()
  const sign = await session.cronSigner()
  return plansOf(await textOf(path), kind, {
    prefix,
    user,
    owner: path === "-" ? user : (spoolOwner(where) ?? user),
    homeOf: homeFinder(session, user),
    userQueue,
    overlap: engine.supports.lookup ? "skip" : "allow",
    origin: { kind: "import", key: originKey(source) },
    drafting: plainDrafting(session),
    sign,
  })
}

/** What `--prune` and a second import go by. */
export const originKey = ({ path, prefix }: CrontabSource): string =>
  prefix ?? (path === "-" ? "stdin" : resolve(path))

export function plansOf(text: string, kind: CrontabKind, context: JobContext): Crontab {
  const taken: Taken[] = []
  const left: Left[] = []
  const mailed = new Map<string, number>()
  const seen = new Map<string, number>()
  for (const item of parseCrontab(text, kind)) {
    if (item.kind === "fault") {
      left.push(item)
      continue
    }
    const job = context.owner === context.user ? item : { user: context.owner, ...item }
    const { line, command, stdin, user, variables } = job
    const key = JSON.stringify([user, command, stdin])
    const ordinal = (seen.get(key) ?? 0) + 1
    try {
      taken.push({ ...planOfJob(job, ordinal, context), line, command })
      seen.set(key, ordinal)
      if (variables.MAILTO) mailed.set(variables.MAILTO, line)
    } catch (error) {
      if (!(error instanceof TqError)) throw error
      left.push({ line, why: messageOf(error) })
    }
  }
  return { taken, left, remarks: [...mailed.keys()].map(mailRemark) }
}

const mailRemark = (to: string): string =>
  `MAILTO=${to}: tq sends no mail; its tasks carry the header mailto for a program of [hooks] failed, and tq logs has what they print`

async function textOf(path: string): Promise<string> {
  if (path === "-") return Buffer.from(await readStdin()).toString()
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    throw new TqError("missing", `cannot read the crontab ${path}: ${messageOf(error)}`)
  }
}

/** Homes by the passwd file; of this user also from the environment. */
function homeFinder(session: Session, self: string): JobContext["homeOf"] {
  let homes: ReadonlyMap<string, string> | undefined
  return (user) => {
    if (user === self) return homeOf(session.env)
    homes ??= passwdHomes()
    return homes.get(user)
  }
}
