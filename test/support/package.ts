/** The package, as a program has it after an install. */
import { mkdirSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import type { Sandbox } from "./cli.ts"

/** Programs in the sandbox can import "tq". */
export function importable(box: Sandbox): void {
  mkdirSync(box.path("node_modules"), { recursive: true })
  symlinkSync(join(import.meta.dir, "..", ".."), box.path("node_modules", "tq"))
}
