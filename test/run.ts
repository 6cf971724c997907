/**
 * The whole test suite, from nothing: builds the executable, brings up the servers that the tests need, runs every test, stops
 * what it started. Arguments select test files: `bun run test cli`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { countsIn, failuresIn } from "./report.ts"
import { servers } from "./servers/all.ts"
import { install } from "./servers/install.ts"
import type { RunningServer } from "./servers/server.ts"
import { tools } from "./servers/tools.ts"

const root = join(import.meta.dir, "..")
const scratch = mkdtempSync(join(tmpdir(), "tq-test-"))
const report = join(scratch, "report.xml")

/** No test may hang the suite, and neither may a file that is stuck: nothing that is said for so long is nothing that will be. */
const longestTest = 300_000
const longestSilence = 360_000
/** The tests have so long to end when they are told to. */
const parting = 15_000
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

/** When the tests last said something. */
let heardAt = performance.now()

// What is built here is run by other users too.
process.umask(0o022)

const running: RunningServer[] = []
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await Promise.allSettled(running.map((server) => server.stop()))
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
  const code = await listenTo(
    [process.execPath, "test", `--timeout=${longestTest}`, `--parallel=${abreast}`, ...reporter, ...selected],
    env,
  )
  if (stoppedBy) return code
  // What failed is said once more where it is seen first.
  for (const failure of failuresIn(report)) console.log(failure)
  const counts = countsIn(report)
  if (!counts) {
    console.log(`the tests ended with ${code}, and left no report`)
    return code || 1
  }
  const { tests, failures, skipped } = counts
  // Skipped is as bad as failed: a test that cannot run proves nothing.
  console.log(`${tests - failures - skipped} passed, ${failures} failed, ${skipped} skipped`)
  return code !== 0 || tests === 0 || failures > 0 || skipped > 0 ? code || 1 : 0
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

async function run(argv: string[]): Promise<number> {
  if (stoppedBy) return signals[stoppedBy]
  child = Bun.spawn(argv, { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
  return child.exited
}

/** The same, until it is silent for too long: then it is told to end, and names what it was in the midst of. */
async function listenTo(argv: string[], env: Record<string, string>): Promise<number> {
  if (stoppedBy) return signals[stoppedBy]
  const tests = Bun.spawn(argv, {
    cwd: root,
    env: { ...process.env, ...(process.stderr.isTTY && { FORCE_COLOR: "1" }), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  child = tests
  heardAt = performance.now()
  const watch = setInterval(() => {
    if (performance.now() - heardAt < longestSilence) return
    clearInterval(watch)
    console.log(`no test has ended for ${longestSilence / 60_000} minutes: what still runs is stuck`)
    tests.kill("SIGTERM")
    setTimeout(() => tests.kill("SIGKILL"), parting).unref()
  }, 1_000)
  try {
    await Promise.all([repeat(tests.stdout, process.stdout), repeat(tests.stderr, process.stderr)])
    return await tests.exited
  } finally {
    clearInterval(watch)
  }
}

async function repeat(from: ReadableStream<Uint8Array>, to: NodeJS.WriteStream): Promise<void> {
  for await (const bytes of from) {
    heardAt = performance.now()
    to.write(bytes)
  }
}
