/** A server that tests need, and what `test/run.ts` must know to bring it up. Each has a file of its own beside this one. */
import type { Need } from "./install.ts"

export interface TestServer {
  /** Tests find its URL here. Where it is set already, that server is used, and none is started. */
  readonly variable: string
  readonly needs: readonly Need[]
  /** Starts one on a free port of loopback, with its data in this folder. */
  start(folder: string): Promise<RunningServer>
}

export interface RunningServer {
  readonly url: string
  stop(): Promise<void>
}
