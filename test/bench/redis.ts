/** A Redis server of our own on a free port, gone when the benchmark is. */
import { mkdirSync } from "node:fs"
import { freePort } from "../support/port.ts"

export interface RunningRedis {
  readonly port: number
  stop(): Promise<void>
}

export async function startRedis(
  folder: string,
  args: readonly string[] = ["--save", "", "--appendonly", "no"],
): Promise<RunningRedis> {
  mkdirSync(folder, { recursive: true })
  const port = await freePort()
  const server = Bun.spawn(
    ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--dir", folder, ...args],
    {
      stdio: ["ignore", "ignore", "inherit"],
    },
  )
  const deadline = performance.now() + 10_000
  while (!(await answers(port))) {
    if (performance.now() > deadline) throw new Error("redis-server did not start")
    await Bun.sleep(20)
  }
  return {
    port,
    stop: async () => {
      server.kill()
      await server.exited
    },
  }
}

async function answers(port: number): Promise<boolean> {
  const ping = Bun.spawn(["redis-cli", "-p", String(port), "PING"], { stdio: ["ignore", "pipe", "ignore"] })
  return (await new Response(ping.stdout).text()).startsWith("PONG")
}
