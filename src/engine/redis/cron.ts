/** Cron entries as the scripts tell them. */
import type { CronEntry } from "../engine.ts"
import { fieldsOf, listOf, numberOf, type Reply, textOf } from "./codec.ts"

export function cronsOf(reply: Reply): { now: number; wakeIn?: number; entries: CronEntry[] } {
  const [now, wakeIn, found] = listOf(reply)
  const flat = listOf(found)
  const entries: CronEntry[] = []
  for (let i = 0; i < flat.length; i += 2) {
    const fields = fieldsOf(flat[i + 1])
    const [next, lastTick, lastTasks] = [fields.get("next"), fields.get("lastTick"), fields.get("lastTasks")]
    entries.push({
      name: textOf(flat[i]),
      revision: Number(fields.get("revision")),
      spec: fields.get("spec") ?? "",
      paused: fields.get("paused") === "1",
      lastTasks: lastTasks ? lastTasks.split("\n") : [],
      skipped: Number(fields.get("skipped") ?? 0),
      ...(next !== undefined && { next: Number(next) }),
      ...(lastTick !== undefined && { lastTick: Number(lastTick) }),
    })
  }
  const until = numberOf(wakeIn)
  return { now: numberOf(now), entries, ...(until >= 0 && { wakeIn: until }) }
}
