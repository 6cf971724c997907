/**
 * `--watch`: tells when something that handlers consist of has changed. Their folders are watched, since editors replace files and do
 * not write into them.
 */
import { type FSWatcher, watch } from "node:fs"
import { basename, dirname } from "node:path"
import type { Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"

/** An editor writes several times. */
const settleFor: Millis = 100

export interface FileWatchOptions {
  readonly changed: () => void
  readonly remark: (message: string) => void
}

export class FileWatch {
  readonly #options: FileWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  /** Folder → names in it; undefined for all. */
  #watched = new Map<string, Set<string> | undefined>()
  #timer: Timer | undefined

  constructor(options: FileWatchOptions) {
    this.#options = options
  }

  /** @param folders watched whole */
  use(files: readonly string[], folders: readonly string[]): void {
    this.#watched = new Map(folders.map((folder) => [folder, undefined]))
    for (const file of files) {
      const folder = dirname(file)
      const names = this.#watched.get(folder)
      if (names) names.add(basename(file))
      else if (!this.#watched.has(folder)) this.#watched.set(folder, new Set([basename(file)]))
    }
    for (const [folder, watcher] of this.#watchers) {
      if (this.#watched.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    for (const folder of this.#watched.keys()) if (!this.#watchers.has(folder)) this.#watch(folder)
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #watch(folder: string): void {
    const unwatched = (error: unknown) => {
      this.#watchers.delete(folder)
      this.#options.remark(`--watch: cannot watch ${folder}: ${messageOf(error)}`)
    }
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => this.#heed(folder, name))
      watcher.on("error", unwatched)
      this.#watchers.set(folder, watcher)
    } catch (error) {
      unwatched(error)
    }
  }

  #heed(folder: string, name: string | null): void {
    const names = this.#watched.get(folder)
    if (names && name !== null && !names.has(name)) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#options.changed, settleFor)
  }
}
