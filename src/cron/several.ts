/** `tq cron pause`, `resume` and `remove`: one change to each of the entries that are named. */
import type { Session } from "../cli/session.ts"
import { TqError } from "../core/errors.ts"
import type { CronDraft, CronEntry } from "../engine/engine.ts"
import { schedulesOf } from "./place.ts"
import { change } from "./register.ts"

/**
 * A name that is not there is told, and the others are changed all the same.
 * @param said what `--json` says of an entry, beside its name
 * @returns the exit code
 */
export async function changeEach(
  session: Session,
  names: readonly string[],
  to: (entry: CronEntry, now: number) => CronDraft | null,
  said: Readonly<Record<string, unknown>>,
): Promise<number> {
  const store = await schedulesOf(session, await session.engine())
  let code = 0
  for (const name of names) {
    try {
      await change(store, name, to)
      if (session.json) session.printLine(JSON.stringify({ name, ...said }))
    } catch (error) {
      if (!(error instanceof TqError && error.code === "missing")) throw error
      session.warn(error.message)
      code = error.exitCode
    }
  }
  return code
}
