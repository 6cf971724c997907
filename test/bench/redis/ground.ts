/** Where the Redis engine and its peers meet: one private server, emptied before each turn. It syncs nothing, for either. */
import { join } from "node:path"
import { type RunningRedis, startRedis } from "../redis.ts"
import { root, type Stage } from "../stage.ts"

export const durability = "appendonly no, for both"

export class Ground {
  readonly url: string
  readonly port: string
  readonly #server: RunningRedis

  private constructor(server: RunningRedis) {
    this.#server = server
    this.port = String(server.port)
    this.url = `redis://127.0.0.1:${server.port}`
  }

  static async with<T>(stage: Stage, play: (ground: Ground) => Promise<T>): Promise<T> {
    const ground = new Ground(await startRedis(join(stage.folder, "redis")))
    try {
      return await play(ground)
    } finally {
      await ground.#server.stop()
    }
  }

  /** What redis-cli prints. */
  async cli(...args: readonly string[]): Promise<string> {
    return (await output(["redis-cli", "-p", this.port, ...args])).trim()
  }

  /** A server that holds nothing. */
  async fresh(): Promise<string> {
    await this.cli("FLUSHALL")
    return this.url
  }

  /** What BullMQ did on an empty server, in milliseconds or as it says. */
  async bullmq(what: string, ...args: readonly (number | string)[]): Promise<Record<string, number>> {
    await this.fresh()
    return this.bullmqGoesOn(what, ...args)
  }

  async bullmqGoesOn(what: string, ...args: readonly (number | string)[]): Promise<Record<string, number>> {
    const text = await output(["node", peer("bullmq.mjs"), what, this.port, ...args.map(String)])
    return JSON.parse(text) as Record<string, number>
  }
}

export const peer = (file: string): string => join(root, "test", "bench", "peers", file)

export async function output(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...argv], {
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
    cwd: join(root, "test", "bench", "peers"),
    stdio: ["ignore", "pipe", "pipe"],
  })
  const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${error}`)
  return out
}
