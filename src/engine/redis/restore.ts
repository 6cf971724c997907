/** Items of another store as restore.lua reads them, in portions that do not hold up the server. */

import type { When } from "../../core/clock.ts"
import { unreachable } from "../../core/errors.ts"
import { rawBytes } from "../../core/json.ts"
import type { Item, Restored, WholeTask } from "../engine.ts"
import { given, listOf, recordText, statusLetters, textOf } from "./codec.ts"
import type { Arg, Reply } from "./connection.ts"
import type { Store } from "./store.ts"

/** Items put in by one script … */
const portionItems = 200
/** … or as many as have this many arguments, or bytes. */
const portionArgs = 20_000
const portionBytes = 4 << 20

export async function restore(store: Store, items: readonly Item[]): Promise<Restored[]> {
  const outcomes: Restored[] = []
  for (let i = 0; i < items.length; ) {
    const args: Arg[] = [0]
    let n = 0
    let bytes = 0
    do {
      const own = itemArgs(items[i + n]!)
      args.push(...own)
      bytes += own.reduce<number>((sum, arg) => sum + (typeof arg === "number" ? 8 : arg.length), 0)
      n++
    } while (i + n < items.length && n < portionItems && args.length < portionArgs && bytes < portionBytes)
    args[0] = n
    outcomes.push(...listOf(await store.run("restore", args)).map(outcomeOf))
    i += n
  }
  // Whoever asks with nothing hears all the same that the store takes nothing.
  if (items.length === 0) await store.run("restore", [0])
  return outcomes
}

function outcomeOf(reply: Reply): Restored {
  const text = textOf(reply)
  if (text === "r") return { outcome: "restored" }
  return text === "p" ? { outcome: "present" } : { outcome: "refused", reason: text }
}

function itemArgs(item: Item): Arg[] {
  switch (item.kind) {
    case "queue":
      return ["q", item.queue, item.paused ? 1 : 0]
    case "event": {
      const { name, key, payload, at } = item.event
      return ["e", name, given(key), payload, at, item.nth]
    }
    case "task":
      return taskArgs(item.task)
    case "after":
      return [
        "a",
        item.id,
        item.parents.length,
        ...item.parents.flatMap(({ id, on, satisfied }): Arg[] => [
          on === "completed" ? "C" : "E",
          satisfied ? 1 : 0,
          id,
        ]),
      ]
    case "serial":
      return ["s", item.key, item.front ?? ""]
    case "cron": {
      const { name, revision, spec, next, paused, lastTick, lastTasks, skipped } = item.entry
      return [
        "c",
        name,
        revision,
        spec,
        next ?? "",
        paused ? 1 : 0,
        lastTick ?? "",
        lastTasks.join("\n"),
        skipped,
      ]
    }
    default:
      return unreachable(item)
  }
}

function taskArgs(task: WholeTask): Arg[] {
  const { record, state, memos, consumed, output } = task
  const status = state.status === "running" ? "pending" : state.status
  const fields = fieldsOfX(task, status)
  return [
    "t",
    record.id,
    record.queue,
    record.priority,
    recordText(record),
    statusLetters[status],
    state.epoch,
    state.retryCount,
    state.crashes,
    state.startedAt ?? "",
    state.finishedAt ?? "",
    given(state.reason),
    state.result?.exitCode ?? "",
    state.result ? Buffer.concat([Buffer.from("="), rawBytes(state.result.data)]) : "",
    fields.length / 2,
    ...fields,
    state.failures.length,
    ...state.failures.map((failure) => JSON.stringify(failure)),
    memos.length,
    ...memos.flatMap(({ key, value }) => [key, value]),
    consumed.length,
    ...consumed.flatMap(({ name, key, at }): Arg[] => [key === undefined ? name : `${name}\n${key}`, at]),
    output.length,
    ...output.flatMap(({ epoch, attempt, stream, offset, at, data }): Arg[] => [
      epoch,
      attempt,
      stream,
      offset,
      at,
      Buffer.from(data),
    ]),
  ]
}

/** As base.lua names them: name, value … of those that the task has. */
function fieldsOfX({ record, state, tally, unserved, wait }: WholeTask, status: string): Arg[] {
  const { unique, serial, flow, createdAt } = record
  const isWaiting = status === "waiting"
  const values: Readonly<Record<string, Arg | undefined>> = {
    run: atOf(record.runAt),
    due: status === "scheduled" || isWaiting ? state.runAt : undefined,
    exp: atOf(record.expiresAt),
    uk: unique?.key,
    uu: unique?.for === undefined ? undefined : createdAt + unique.for,
    sk: serial,
    fr: flow?.run,
    fs: flow?.step,
    pg: state.progress?.fraction,
    pm: state.progress?.message === undefined ? undefined : `=${state.progress.message}`,
    pp: state.postponements === 0 ? undefined : state.postponements,
    ty: tally,
    un: unserved ? 1 : undefined,
    fc: state.failureCount === 0 ? undefined : state.failureCount,
    fl: state.result?.fullLength,
    we: isWaiting ? wait?.event : undefined,
    wk: isWaiting ? given(wait?.key) : undefined,
    wm: isWaiting ? wait?.memo : undefined,
  }
  return Object.entries(values).flatMap(([name, value]): Arg[] => (value === undefined ? [] : [name, value]))
}

const atOf = (when: When | undefined): number | undefined => (when && "at" in when ? when.at : undefined)
