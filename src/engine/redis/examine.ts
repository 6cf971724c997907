/** What an operator should know about the server. */
import type { Finding } from "../engine.ts"
import { textOf } from "./codec.ts"
import type { Store } from "./store.ts"

/** The oldest server whose scripts may do what ours do. */
const oldest = [6, 2] as const

export async function examine(store: Store, _scope: "start" | "all"): Promise<Finding[]> {
  const info = textOf(await store.command("INFO", "server"))
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? "unknown"
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const isFine = major > oldest[0] || (major === oldest[0] && minor >= oldest[1])
  const text = `the server is version ${version}`
  if (isFine) return [{ about: "version", verdict: "fine", text }]
  return [{ about: "version", verdict: "wrong", text, remedy: "use Redis 6.2 or newer, or Valkey" }]
}
