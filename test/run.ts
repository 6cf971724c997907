/**
 * The whole test suite, from nothing: builds the executable, brings up the servers that the tests need, runs every test, stops
 * what it started. Arguments select test files: `bun run test cli`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { servers } from "./servers/all.ts"
import { install } from "./servers/install.ts"
import type { RunningServer } from "./servers/server.ts"
import { tools } from "./servers/tools.ts"

const root = join(import.meta.dir, "..")
const scratch = mkdtempSync(join(tmpdir(), "tq-test-"))
const report = join(scratch, "report.xml")

/** No test may hang the suite. */
const longestTest = 120_000
/** Files at once, each in a process of its own: most tests wait for other processes most of the time. */
const abreast = 3

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

let child: Bun.Subprocess | undefined
let stoppedBy: keyof typeof signals | undefined
for (const signal of Object.keys(signals) as (keyof typeof signals)[]) {
  process.on(signal, () => {
    stoppedBy ??= signal
    child?.kill(signal)
  })
}

const running: RunningServer[] = []
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await Promise.all(running.map((server) => server.stop()))
  rmSync(scratch, { recursive: true, force: true })
}
if (stoppedBy) process.exitCode = signals[stoppedBy]

async function main(selected: string[]): Promise<number> {
  if (process.getuid?.() !== 0)
    console.log("not root: tests that become other users or fill small disks of their own will fail")
  const built = await run([process.execPath, "run", "build"])
  if (built !== 0) return built
  const env = await bringUp()
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`]
  const code = await run(
    [process.execPath, "test", `--timeout=${longestTest}`, `--parallel=${abreast}`, ...reporter, ...selected],
    env,
  )
  if (stoppedBy) return code
  const { tests, failures, skipped } = countsIn(report)
  // Skipped is as bad as failed: a test that cannot run proves nothing.
  console.log(`${tests - failures - skipped} passed, ${failures} failed, ${skipped} skipped`)
  return code !== 0 || tests === 0 || skipped > 0 ? code || 1 : 0
}

/** Installs what is missing, and starts the servers that nobody named. @returns what tells the tests where all of them are */
async function bringUp(): Promise<Record<string, string>> {
  const wanted = servers.filter(({ variable }) => !process.env[variable])
  await install([...tools, ...wanted.flatMap(({ needs }) => needs)])
  const urls = wanted.map(async (server) => {
    const folder = join(scratch, server.variable)
    mkdirSync(folder)
    const started = await server.start(folder)
    running.push(started)
    return [server.variable, started.url] as const
  })
  // All of them, so that what has started is stopped also when another fails.
  const settled = await Promise.allSettled(urls)
  return Object.fromEntries(
    settled.map((result) => {
      if (result.status === "rejected") throw result.reason
      return result.value
    }),
  )
}

async function run(argv: string[], env: Record<string, string> = {}): Promise<number> {
  if (stoppedBy) return signals[stoppedBy]
  child = Bun.spawn(argv, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  })
  return child.exited
}

/** The totals on the first element of a JUnit report. */
function countsIn(path: string): { tests: number; failures: number; skipped: number } {
  const head = /<testsuites[^>]*>/.exec(readFileSync(path, "utf8"))?.[0] ?? ""
  const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
  return { tests: count("tests"), failures: count("failures"), skipped: count("skipped") }
}
