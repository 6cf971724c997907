/**
 * The whole test suite, from nothing: builds the executable, brings up the servers that the tests need, runs every test, stops
 * what it started. Arguments select test files: `bun test/run.ts cli`.
 */
import { join } from "node:path"

const root = join(import.meta.dir, "..")

async function run(argv: string[], env: Record<string, string> = {}): Promise<number> {
  const child = Bun.spawn(argv, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "inherit"] })
  return child.exited
}

const built = await run([process.execPath, "run", "build"])
if (built !== 0) process.exit(built)
process.exit(await run([process.execPath, "test", "--timeout", "60000", ...process.argv.slice(2)]))
