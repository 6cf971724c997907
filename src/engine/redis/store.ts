/** Runs scripts on the server: by their SHA-1, by their text where the server does not know them (yet, or any more). */
import { Redis } from "ioredis"
import type { Clock, Millis } from "../../core/clock.ts"
import { messageOf } from "../../core/errors.ts"
import type { Relocation } from "../engine.ts"
import { movedAway } from "../refusal.ts"
import { clientOptions } from "./client.ts"
import { type Arg, Connection, isNoScript, type RedisClient, type Reply } from "./connection.ts"
import type { RedisLocation } from "./location.ts"
import { type ScriptName, Scripts } from "./scripts.ts"

export interface StoreOptions {
  readonly location: RedisLocation
  readonly namespace: string
  readonly clock: Clock
  readonly patience: Millis
  /** For tests, which let days go by: the store's time instead of the server's. */
  readonly storeTime?: () => Millis
}

/**
 * No command is ever sent twice, none waits for a connection, and nothing reconnects behind our back: with other settings a lost
 * reply is a command executed again. RESP2 spares the HELLO and its round trip.
 */
const onceOnly = {
  lazyConnect: true,
  protocol: 2,
  enableReadyCheck: false,
  disableClientInfo: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
} as const

export class Store {
  readonly clock: Clock
  /** Before every key: the braces make all of them one slot of a cluster. */
  readonly prefix: string
  readonly label: string
  readonly #options: StoreOptions
  readonly #scripts: Scripts
  readonly #calls: Connection

  constructor(options: StoreOptions) {
    this.#options = options
    this.clock = options.clock
    this.prefix = `{${options.namespace}}:`
    this.label = options.location.shown
    this.#scripts = new Scripts(options.storeTime !== undefined)
    this.#calls = this.connection()
  }

  open(): Promise<void> {
    return this.#calls.open()
  }

  close(): void {
    this.#calls.close()
  }

  /** Another connection, for commands that block. */
  connection(): Connection {
    const { location, namespace, clock, patience } = this.#options
    return new Connection({
      dial: async (connectTimeout): Promise<RedisClient> =>
        new Redis({ ...clientOptions(location, `{${namespace}}`), ...onceOnly, connectTimeout }),
      label: this.label,
      clock,
      patience,
    })
  }

  /** Runs a script. What it was given as numbers arrives as their digits. */
  async run(name: ScriptName, args: readonly Arg[]): Promise<Reply> {
    const script = this.#scripts.get(name)
    const { storeTime } = this.#options
    const rest = [1, this.prefix, ...args, ...(storeTime ? [storeTime()] : [])]
    try {
      return await this.#calls.call("EVALSHA", [script.sha, ...rest])
    } catch (error) {
      if (isNoScript(error))
        return this.#calls.call("EVAL", [script.text, ...rest]).catch((e) => this.#tell(e))
      return this.#tell(error)
    }
  }

  /** A store whose tasks move away says so in an error of its own (gate.lua). */
  #tell(error: unknown): never {
    const mark = /TQMOVED (\{.*\})/.exec(messageOf(error))?.[1]
    throw mark === undefined ? error : movedAway(this.label, JSON.parse(mark) as Relocation)
  }

  /** A command as it is, where no script is needed. */
  command(name: string, ...args: Arg[]): Promise<Reply> {
    return this.#calls.call(name, args)
  }
}
