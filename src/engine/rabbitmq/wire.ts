/**
 * One connection to the broker, made when it is needed and again after it broke. Nothing reconnects behind the caller's back: a
 * call either has a connection that works or fails within its deadline, and whoever calls again connects again.
 *
 * A worker has two wires. The broker stops reading from a connection that publishes while it is short of memory or disk; were it
 * the one that acknowledges, finished work would be held up too.
 */
import { type ChannelModel, connect } from "amqplib"
import type { Millis, Random } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import type { Address, Host } from "./address.ts"
import { within } from "./deadline.ts"

/** The oldest server whose queues have what tq declares: `x-queue-version` 2, at-least-once dead-lettering. */
const oldest = "3.10"

export interface Connected {
  readonly model: ChannelModel
  /** `3.10.8` */
  readonly version: string
  /** Why the broker does not take messages at present; undefined while it does. */
  readonly blocked: string | undefined
  readonly isOpen: boolean
  /** Calls back when the connection has ended, once. */
  whenClosed(listener: () => void): void
  /** Calls back when the broker stops taking messages. */
  whenBlocked(listener: (reason: string) => void): () => void
  /** Throws it away without a word to the broker. */
  destroy(): void
}

export class Wire {
  readonly #address: Address
  readonly #patience: Millis
  readonly #random: Random
  readonly #purpose: string
  #current: Promise<Connected> | undefined
  #live: Live | undefined
  #isClosed = false

  /** @param purpose shown among the connections of the management interface */
  constructor(address: Address, purpose: string, patience: Millis, random: Random) {
    this.#address = address
    this.#purpose = purpose
    this.#patience = patience
    this.#random = random
  }

  /** The connection, new where there is none. Throws `unreachable` after the patience, `denied` for wrong credentials. */
  async connected(): Promise<Connected> {
    if (this.#isClosed)
      throw new TqError("unreachable", `the connection to ${this.#address.location} is closed`)
    if (this.#live?.isOpen) return this.#live
    this.#current ??= this.#connect().finally(() => {
      this.#current = undefined
    })
    return this.#current
  }

  /** The connection if there is one at this moment. */
  get live(): Connected | undefined {
    return this.#live?.isOpen ? this.#live : undefined
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#current?.catch(() => undefined)
    await this.#live?.close()
    this.#live = undefined
  }

  async #connect(): Promise<Connected> {
    const { hosts, location } = this.#address
    const order = hosts.map((host) => ({ host, rank: this.#random() })).sort((a, b) => a.rank - b.rank)
    const troubles: string[] = []
    for (const { host } of order) {
      try {
        const model = await this.#dial(host, this.#patience / order.length)
        const live = new Live(model)
        if (this.#isClosed) {
          live.destroy()
          throw new TqError("unreachable", `the connection to ${location} is closed`)
        }
        this.#live = live
        refuseOld(live.version, location)
        return live
      } catch (error) {
        if (error instanceof TqError && error.code !== "unreachable") throw error
        const refused = refusalOf(error, location)
        if (refused) throw refused
        troubles.push(`${order.length > 1 ? `${host.name}:${host.port}: ` : ""}${causeOf(error)}`)
      }
    }
    throw new TqError("unreachable", `cannot reach ${location}: ${troubles.join("; ")}`)
  }

  #dial({ name, port }: Host, patience: Millis): Promise<ChannelModel> {
    const { user, password, vhost, heartbeat, tls, location } = this.#address
    const dialling = connect(
      {
        protocol: tls ? "amqps" : "amqp",
        hostname: name,
        port,
        username: user,
        password,
        // amqplib takes it percent-encoded.
        vhost: encodeURIComponent(vhost),
        heartbeat: Math.max(1, Math.round(heartbeat / 1_000)),
      },
      {
        // Without it Nagle's algorithm holds every acknowledgement back: 23 a second instead of 11,000.
        noDelay: true,
        keepAlive: true,
        timeout: patience,
        clientProperties: { product: "tq", connection_name: this.#purpose },
        ...tls,
      },
    )
    return within(patience, dialling, `${location} does not answer`, (model) => new Live(model).destroy())
  }
}

class Live implements Connected {
  readonly model: ChannelModel
  readonly version: string
  blocked: string | undefined
  isOpen = true
  readonly #closeListeners: (() => void)[] = []
  readonly #blockListeners = new Set<(reason: string) => void>()

  constructor(model: ChannelModel) {
    this.model = model
    this.version = String(model.connection.serverProperties.version)
    // An error is followed by the end of the connection, and that is what counts.
    model.on("error", () => undefined)
    model.on("close", () => this.#ended())
    model.on("blocked", (reason: string) => {
      this.blocked = reason
      for (const listener of [...this.#blockListeners]) listener(reason)
    })
    model.on("unblocked", () => {
      this.blocked = undefined
    })
  }

  whenClosed(listener: () => void): void {
    if (this.isOpen) this.#closeListeners.push(listener)
    else listener()
  }

  whenBlocked(listener: (reason: string) => void): () => void {
    this.#blockListeners.add(listener)
    return () => this.#blockListeners.delete(listener)
  }

  /** Says good-bye, but does not wait long for an answer. */
  async close(): Promise<void> {
    if (!this.isOpen) return
    try {
      await within(2_000, this.model.close(), "the broker does not let go")
    } catch {
      this.destroy()
    }
    this.#ended()
  }

  destroy(): void {
    const { stream } = this.model.connection as unknown as { stream: { destroy(error: Error): void } }
    // With an error: of a socket that just ends, the client library would hear nothing, and wait on.
    stream.destroy(new Error("the connection was given up"))
    this.#ended()
  }

  #ended(): void {
    if (!this.isOpen) return
    this.isOpen = false
    for (const listener of this.#closeListeners.splice(0)) listener()
  }
}

function refuseOld(version: string, location: string): void {
  if (isAtLeast(version, oldest)) return
  throw new TqError("unsupported", `${location} is RabbitMQ ${version}: tq needs ${oldest} or later`)
}

/** Compares version numbers: `3.11.15` is at least `3.11`. */
export function isAtLeast(version: string, wanted: string): boolean {
  const parts = (text: string) => text.split(/[.\-+]/).map((part) => Number.parseInt(part, 10) || 0)
  const have = parts(version)
  for (const [i, part] of parts(wanted).entries()) {
    if ((have[i] ?? 0) !== part) return (have[i] ?? 0) > part
  }
  return true
}

/** What no retry mends: wrong credentials, no such vhost, a certificate that is not trusted. */
function refusalOf(error: unknown, location: string): TqError | undefined {
  const text = messageOf(error)
  if (/ACCESS[_-]REFUSED|NOT[_-]ALLOWED/i.test(text))
    return new TqError("denied", `${location} refuses us: ${reasonIn(text)}`)
  const code = (error as NodeJS.ErrnoException).code ?? ""
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code))
    return new TqError("denied", `${location}: its certificate is not trusted (${code})`)
  return undefined
}

/** The broker's own words between quotes, where there are any. */
const reasonIn = (text: string): string => /"(.*)"/s.exec(text)?.[1] ?? text

const causeOf = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ECONNREFUSED") return "connection refused"
  // The client library does not tell the broker's reason. A broker that is just starting says so too, so it may pass.
  if (/Expected ConnectionOpenOk/.test(messageOf(error)))
    return "it has no such vhost, or this user may not use it"
  return messageOf(error)
}
