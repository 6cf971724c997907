import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Processes that were told to end may still write for a moment. */
const tries = 100

/** A fresh folder, and how to get rid of it. */
export function tempFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "tq-test-"))
  return { path, remove: () => remove(path) }
}

function remove(path: string): void {
  for (let left = tries; ; left--) {
    try {
      rmSync(path, { recursive: true, force: true })
      return
    } catch (error) {
      if (left === 0 || (error as NodeJS.ErrnoException).code !== "ENOTEMPTY") throw error
      Bun.sleepSync(50)
    }
  }
}
