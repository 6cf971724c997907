/** The worker's connection to its store, and the session under which the store knows it. */
import type { Engine, WorkerRef } from "../engine/engine.ts"

export class Link {
  readonly id: string
  readonly #connect: () => Promise<Engine>
  #engine: Engine
  #session = 0

  /** @param connect opens another engine on the same store */
  constructor(id: string, engine: Engine, connect: () => Promise<Engine>) {
    this.id = id
    this.#engine = engine
    this.#connect = connect
  }

  get engine(): Engine {
    return this.#engine
  }

  get ref(): WorkerRef {
    return { id: this.id, session: this.#session }
  }

  /** From now on the store refuses what is still under way under the old session, once it has heard of the new one. */
  raiseSession(): void {
    this.#session++
  }

  /** A client that does not answer is thrown away whole; the next beat resyncs. */
  async rebuild(): Promise<void> {
    const old = this.#engine
    this.#engine = await this.#connect()
    this.raiseSession()
    await old.close().catch(() => undefined)
  }
}
