/** Handlers that do what handlers may do to their runner, each after it has left its trace. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Scene } from "./scene.ts"

const source = `
import { appendFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { task } from "tq"
const trace = (ctx) => appendFileSync(process.env.TRACES, ctx.id + " " + ctx.attempt + " " + process.env.TQ_WORKER_ID + "\\n")
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
task({ name: "good" }, async (ms, ctx) => { trace(ctx); await rest(ms ?? 0); return "good" })
task({ name: "stays" }, async (_, ctx) => { trace(ctx); if (ctx.attempt === 1) await rest(60_000) })
task({ name: "blocks" }, (_, ctx) => { trace(ctx); for (;;); })
task({ name: "hangs" }, (_, ctx) => { trace(ctx); return new Promise(() => {}) })
task({ name: "crashes" }, async (ms, ctx) => { trace(ctx); await rest(ms ?? 0); process.kill(process.pid, "SIGKILL") })
task({ name: "once" }, async (ms, ctx) => { trace(ctx); await rest(ms); return "once" })
task({ name: "forks" }, async (_, ctx) => { trace(ctx); spawn("sleep", ["300"], { stdio: "ignore" }); await rest(60_000) })
`

/** @returns the path of the handler file, to be named to workers */
export function handlers(scene: Scene): string {
  const path = join(scene.folder, "tasks.mjs")
  writeFileSync(path, source, { mode: 0o600 })
  return path
}

export const many = (count: number, task: object): object[] => Array.from({ length: count }, () => task)
