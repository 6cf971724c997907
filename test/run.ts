/**
 * The whole test suite, from nothing: builds the executable, brings up the servers that the tests need, runs every test, stops
 * what it started. Arguments select test files: `bun run test cli`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dir, "..")
const scratch = mkdtempSync(join(tmpdir(), "tq-test-"))
const report = join(scratch, "report.xml")

/** No test may hang the suite. */
const longestTest = 120_000

try {
  process.exitCode = await main(process.argv.slice(2))
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

async function main(selected: string[]): Promise<number> {
  const built = await run([process.execPath, "run", "build"])
  if (built !== 0) return built
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`]
  const code = await run([process.execPath, "test", `--timeout=${longestTest}`, ...reporter, ...selected])
  const { tests, failures, skipped } = countsIn(report)
  // Skipped is as bad as failed: a test that cannot run proves nothing.
  console.log(`${tests - failures - skipped} passed, ${failures} failed, ${skipped} skipped`)
  return code !== 0 || tests === 0 || skipped > 0 ? code || 1 : 0
}

async function run(argv: string[]): Promise<number> {
  return Bun.spawn(argv, { cwd: root, stdio: ["ignore", "inherit", "inherit"] }).exited
}

/** The totals on the first element of a JUnit report. */
function countsIn(path: string): { tests: number; failures: number; skipped: number } {
  const head = /<testsuites[^>]*>/.exec(readFileSync(path, "utf8"))?.[0] ?? ""
  const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
  return { tests: count("tests"), failures: count("failures"), skipped: count("skipped") }
}
