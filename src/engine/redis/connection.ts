/**
 * One connection to the server, replaced whole after any trouble: a command that misses its deadline, a socket that closed, a
 * server that became a replica. The next call dials anew, so that Sentinel is asked again who the master is. Nothing is sent
 * twice and nothing waits for a reconnect: the caller hears of it within the deadline and decides.
 */
import type { Clock, Millis } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"

export type Reply = Buffer | number | null | readonly Reply[]
export type Arg = string | Buffer | number

/** What this engine needs of a client of ioredis, alone or of a cluster. */
export interface RedisClient {
  connect(): Promise<void>
  callBuffer(command: string, args: Arg[]): Promise<unknown>
  disconnect(): void
  on(event: "error", listener: (error: Error) => void): unknown
  on(event: "end", listener: () => void): unknown
}

export interface ConnectionOptions {
  /** A client that is not connected yet. */
  readonly dial: (connectTimeout: Millis) => Promise<RedisClient>
  /** For messages. */
  readonly label: string
  readonly clock: Clock
  /** How long a call waits for its answer, connecting included. */
  readonly patience: Millis
}

export class Connection {
  readonly #options: ConnectionOptions
  #client: Promise<RedisClient> | undefined
  #isClosed = false

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Connects, if it is not connected. */
  async open(): Promise<void> {
    this.#isClosed = false
    await this.#within(this.#options.patience, this.#connected())
  }

  /** @param longer how much longer than usual the answer may take: a blocking command waits on the server */
  async call(command: string, args: Arg[], longer: Millis = 0): Promise<Reply> {
    const connected = this.#connected()
    try {
      return await this.#within(
        this.#options.patience + longer,
        connected.then((client) => client.callBuffer(command, args) as Promise<Reply>),
      )
    } catch (error) {
      const told = errorOf(error, this.#options.label)
      if (isBroken(told, error) && this.#client === connected) this.#discard()
      throw told
    }
  }

  close(): void {
    this.#isClosed = true
    this.#discard()
  }

  #connected(): Promise<RedisClient> {
    if (this.#isClosed) return Promise.reject(new TqError("unreachable", `${this.#options.label} is closed`))
    this.#client ??= this.#connect()
    return this.#client
  }

  async #connect(): Promise<RedisClient> {
    const { dial, label, patience } = this.#options
    const client = await dial(patience)
    let trouble: Error | undefined
    client.on("error", (error) => {
      trouble = error
    })
    const attempt = this.#client
    client.on("end", () => {
      if (this.#client === attempt) this.#client = undefined
    })
    try {
      await client.connect()
      return client
    } catch (error) {
      client.disconnect()
      throw errorOf(trouble ?? error, label)
    }
  }

  #discard(): void {
    const client = this.#client
    this.#client = undefined
    void client?.then(
      (connected) => connected.disconnect(),
      () => undefined,
    )
  }

  async #within<T>(patience: Millis, work: Promise<T>): Promise<T> {
    const { label } = this.#options
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(
      () =>
        late.reject(
          new TqError("unreachable", `${label} did not answer within ${Math.round(patience / 100) / 10} s`),
        ),
      patience,
    )
    try {
      return await Promise.race([work, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Whether the connection is of no more use: anything but an answer of the server, or one that it is no longer the right one. */
const isBroken = (told: TqError, error: unknown): boolean =>
  told.code === "unreachable" ||
  told.code === "denied" ||
  !isReply(error) ||
  /\bREADONLY\b/.test(messageOf(error))

const isReply = (error: unknown): boolean => error instanceof Error && error.name === "ReplyError"

/** Error replies (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors) as errors that a user can act on. */
const replies: readonly (readonly [RegExp, TqError["code"], string])[] = [
  [/\bOOM\b/, "io", "is out of memory (maxmemory)"],
  [/\bMISCONF\b/, "io", "cannot write to its disk, and takes no writes"],
  [/\bREADONLY\b/, "io", "is a replica, or was made one: it takes no writes"],
  [/\bNOREPLICAS\b/, "io", "has too few replicas, and takes no writes"],
  [/\bNOPERM\b/, "denied", "does not allow this user to do that"],
  [
    /\b(WRONGPASS|NOAUTH)\b|unauthenticated|invalid password|AUTH /,
    "denied",
    "wants another user or password",
  ],
  [/\b(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|UNBLOCKED)\b/, "unreachable", "is not ready"],
]

function errorOf(error: unknown, label: string): TqError {
  if (error instanceof TqError) return error
  const message = messageOf(error)
  const cause = { cause: error }
  const known = replies.find(([pattern]) => pattern.test(message))
  if (known) return new TqError(known[1], `${label} ${known[2]}: ${message}`, cause)
  if (isReply(error)) return new TqError("internal", `${label}: ${message}`, cause)
  return new TqError("unreachable", `cannot reach ${label}: ${message}`, cause)
}

/** Whether the server does not know the script by its SHA-1: it was restarted, or another one took over. */
export const isNoScript = (error: unknown): boolean =>
  error instanceof TqError && /\bNOSCRIPT\b/.test(error.message)
