/** Writes a store out as lines. */

import type { Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { Engine } from "../engine/engine.ts"
import { itemsOf } from "./copy.ts"
import { exportVersion, toLine } from "./line.ts"

export interface ExportOptions {
  readonly now: Millis
  readonly line: (text: string) => void
  readonly progress: (items: number) => void
}

export interface Exported {
  readonly items: number
  readonly tasks: number
  readonly running: number
}

export async function exportTo(engine: Engine, { now, line, progress }: ExportOptions): Promise<Exported> {
  refuseUnmovable(engine)
  line(toLine({ kind: "export", version: exportVersion, from: engine.location, at: now }))
  let items = 0
  let tasks = 0
  let running = 0
  for await (const item of itemsOf(engine)) {
    line(toLine(item))
    items++
    if (item.kind === "task") tasks++
    if (item.kind === "task" && item.task.state.status === "running") running++
    if (items % 500 === 0) progress(items)
  }
  line(toLine({ kind: "end", items }))
  return { items, tasks, running }
}

export function refuseUnmovable(engine: Engine): void {
  if (engine.supports.move) return
  throw new TqError("unsupported", `${engine.kind} keeps no tasks that could be copied: give it a --store`)
}
