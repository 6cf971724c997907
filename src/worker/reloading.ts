/** Serves by new settings and handlers: on SIGHUP, and with `--watch` when handlers have changed. What makes no sense changes nothing. */
import { existsSync, statSync } from "node:fs"
import { resolve } from "node:path"
import { parseArgsStringToArgv } from "string-argv"
import { messageOf } from "../core/errors.ts"
import { FileWatch } from "./file-watch.ts"
import type { Setup } from "./options.ts"
import type { Supervisor } from "./supervisor.ts"

export interface ReloadingOptions {
  readonly supervisor: Supervisor
  /** Throws for settings that make no sense. */
  readonly reread: () => Setup
  readonly describe: (setup: Setup) => string
  /** Around each reload. */
  readonly begun: () => void
  readonly ended: () => void
  readonly remark: (message: string) => void
  /** What the command line names; what that has imported is watched too. */
  readonly watched?: Watched
}

export interface Watched {
  readonly files: readonly string[]
  readonly folders: readonly string[]
}

/** Folders and files of handlers, and the files among the words of `--runner`. */
export function watchedBy(operands: readonly string[], runners: readonly string[]): Watched {
  const named = operands.map((operand) => operand.replace(/^[^=/]+=/, ""))
  const paths = [...named, ...runners.flatMap((runner) => parseArgsStringToArgv(runner))]
    .filter(existsSync)
    .map((path) => resolve(path))
  const isFolder = (path: string) => statSync(path).isDirectory()
  return { files: paths.filter((path) => !isFolder(path)), folders: paths.filter(isFolder) }
}

export class Reloading {
  readonly #options: ReloadingOptions
  readonly #watch: FileWatch | undefined
  #underWay: Promise<void> | undefined
  #again = false

  constructor(options: ReloadingOptions) {
    this.#options = options
    if (!options.watched) return
    this.#watch = new FileWatch({ changed: () => this.now(), remark: options.remark })
    this.#watchAll()
  }

  /** One at a time; what comes meanwhile is one more. */
  now(): void {
    if (this.#underWay) this.#again = true
    else {
      this.#underWay = this.#reload().finally(() => {
        this.#underWay = undefined
        if (this.#again) this.now()
      })
    }
  }

  close(): void {
    this.#again = false
    this.#watch?.close()
  }

  async #reload(): Promise<void> {
    this.#again = false
    const { supervisor, reread, describe, begun, ended, remark } = this.#options
    begun()
    try {
      const setup = await supervisor.reload(reread())
      remark(`reloaded: ${describe(setup)}`)
      this.#watchAll()
    } catch (error) {
      remark(`not reloaded: ${messageOf(error)}`)
    } finally {
      ended()
    }
  }

  #watchAll(): void {
    const { supervisor, watched } = this.#options
    if (watched) this.#watch?.use([...watched.files, ...supervisor.handlerFiles], watched.folders)
  }
}
