/**
 * Keeps the password of the worker's URL in a file that only this user may read, from where its tasks take it: what stands in
 * an environment is handed on to every child and easily shown.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { messageOf, TqError } from "../core/errors.ts"

export class Secrets {
  readonly #files = new Map<string, string>()
  #folder: string | undefined

  /** @returns the path of a file (0600) that holds the password */
  keep(password: string): string {
    const known = this.#files.get(password)
    if (known !== undefined) return known
    try {
      // mkdtemp makes the folder 0700.
      this.#folder ??= mkdtempSync(join(tmpdir(), "tq-"))
      const path = join(this.#folder, `password-${this.#files.size + 1}`)
      writeFileSync(path, `${password}\n`, { mode: 0o600, flag: "wx" })
      this.#files.set(password, path)
      return path
    } catch (error) {
      throw new TqError(
        "io",
        `cannot keep the engine's password in a file for the tasks: ${messageOf(error)}`,
      )
    }
  }

  remove(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }
}
