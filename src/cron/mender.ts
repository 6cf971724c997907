/**
 * Sets right what a wrong clock has done: an entry whose next tick lies hours behind the one that its schedule names now, since the
 * clock was ahead when the last tick was fired. Left alone, a machine that woke up in the year 2036 would fire nothing for ten years
 * after its clock has been set. Up to three hours, as cron has it, is left alone: there a tick is rather late than fired twice.
 */
import type { Millis } from "../core/clock.ts"
import type { CronEntry } from "../engine/engine.ts"
import { legiblePlan } from "./register.ts"
import { nextTick } from "./schedule.ts"
import type { Timetable } from "./ticker.ts"

const tolerance: Millis = 3 * 3_600_000

/** Entries looked at before others get their turn. */
const portion = 50

/** @returns the names of the entries that were set right */
export async function mend(timetable: Timetable, isClosed: () => boolean): Promise<string[]> {
  const { now } = await timetable.dueCrons(1)
  const isFar = ({ next, paused }: CronEntry) => !paused && next !== undefined && next > now + tolerance
  const far = (await timetable.crons()).filter(isFar)
  const mended: string[] = []
  for (const [index, entry] of far.entries()) {
    if (isClosed()) break
    if (index % portion === portion - 1) await new Promise((resolve) => setImmediate(resolve))
    const plan = legiblePlan(entry)
    const expected = plan && nextTick(plan.schedule, now)
    if (!plan || expected === undefined || expected + tolerance >= entry.next!) continue
    // Without tasks a firing only sets the next tick, if nobody else has done so meanwhile.
    const { name, revision } = entry
    const firing = { revision, tick: entry.next!, next: expected, tasks: [], overlap: plan.overlap }
    if ((await timetable.fire(name, firing)) === "skipped") mended.push(name)
  }
  return mended
}
