import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A fresh folder, and how to get rid of it. */
export function tempFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "tq-test-"))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
