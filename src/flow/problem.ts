/** What is wrong with a flow's document: where, and what to write instead. */
import { messageOf } from "../core/errors.ts"

export type Path = readonly (string | number)[]

export interface Problem {
  readonly path: Path
  readonly message: string
}

export class Problems {
  readonly all: Problem[] = []

  /** Each is told once, in the place where it was found first. */
  add(path: Path, message: string): undefined {
    if (!this.all.some((other) => other.message === message)) this.all.push({ path, message })
    return undefined
  }

  /** What `check` throws becomes a problem. */
  caught<T>(path: Path, check: () => T): T | undefined {
    try {
      return check()
    } catch (error) {
      return this.add(path, messageOf(error))
    }
  }
}
