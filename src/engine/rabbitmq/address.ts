/**
 * The URL of a RabbitMQ engine:
 *
 *     amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/VHOST][?OPTION=VALUE&…]
 *
 * Several hosts are the nodes of one cluster, tried in an order drawn anew for every connection. The vhost is percent-encoded, `/`
 * when there is none. Options: `heartbeat` (a duration, default 5s), `queues` (`priority` or `quorum`: the kind of queues that
 * tq.toml says nothing of), `consumerTimeout` (that of the server, default 30m), and for amqps `ca`, `cert`, `key` (files),
 * `servername`, `verify=no`.
 */
import { readFileSync } from "node:fs"
import { hostname, networkInterfaces } from "node:os"
import type { Millis } from "../../core/clock.ts"
import { tryDuration } from "../../core/duration.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import { nearest } from "../../core/nearest.ts"
import { redactUrl } from "../../url.ts"
import { readPassword } from "../password.ts"

/** How queues are declared that are not there yet. */
export type QueueKind = "priority" | "quorum"

export interface Host {
  readonly name: string
  readonly port: number
}

export interface Address {
  readonly hosts: readonly Host[]
  readonly user: string
  readonly password: string
  readonly vhost: string
  readonly heartbeat: Millis
  readonly queues: QueueKind
  /** After this long unacknowledged, the server takes a delivery back by closing the channel. */
  readonly consumerTimeout: Millis
  readonly tls?: Tls
  /** For messages: without the password. */
  readonly location: string
}

export interface Tls {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly servername?: string
  readonly rejectUnauthorized: boolean
}

const options = [
  "heartbeat",
  "queues",
  "consumerTimeout",
  "ca",
  "cert",
  "key",
  "servername",
  "verify",
] as const

type Option = (typeof options)[number]

/**
 * Throws a `config` error that names what is wrong.
 * @param passwordFile holds the password; wins over one in the URL
 */
export function parseAddress(url: string, passwordFile?: string): Address {
  const location = redactUrl(url).replace(/\?.*$/s, "")
  const match = /^(amqps?):\/\/(?:([^@/?]*)@)?([^@/?]*)(?:\/([^?]*))?(?:\?(.*))?$/is.exec(url)
  if (!match) throw bad(location, "write amqp://USER@HOST:PORT/VHOST")
  const [, scheme = "", credentials, hosts = "", vhost = "", query = ""] = match
  const isSecure = scheme.toLowerCase() === "amqps"
  const given = optionsIn(query, location)
  const [user = "guest", password = user === "guest" ? "guest" : ""] = credentials?.split(/:(.*)/s) ?? []
  return {
    hosts: hosts.split(",").map((host) => hostOf(host, isSecure ? 5671 : 5672, location)),
    user: decode(user, location),
    password: passwordFile === undefined ? decode(password, location) : readPassword(passwordFile),
    vhost: vhost === "" ? "/" : decode(vhost, location),
    heartbeat: duration(given, "heartbeat", 5_000, location),
    queues: kindOf(given.get("queues") ?? "priority", location),
    consumerTimeout: duration(given, "consumerTimeout", 1_800_000, location),
    ...(isSecure && { tls: tlsOf(given, location) }),
    location,
  }
}

/** A file is there for the workers of one machine: the broker must be for those only, too. */
export function refuseDistant(url: string): void {
  const { hosts, location } = parseAddress(url)
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const near = new Set(["localhost", "::1", hostname(), ...own.map(({ address }) => address)])
  const distant = hosts.find(({ name }) => !near.has(name) && !name.startsWith("127."))
  if (!distant) return
  throw new TqError(
    "config",
    `${location} is on another machine, whose workers would not have the store sqlite: use --store redis://...`,
  )
}

function hostOf(text: string, port: number, location: string): Host {
  const match = /^(\[[0-9a-f:.]+\]|[^:]+)(?::(\d{1,5}))?$/i.exec(text)
  if (!match?.[1]) throw bad(location, `no host in ${JSON.stringify(text)}`)
  return { name: match[1].replace(/^\[|\]$/g, ""), port: match[2] === undefined ? port : Number(match[2]) }
}

function optionsIn(query: string, location: string): ReadonlyMap<Option, string> {
  const given = new Map<Option, string>()
  for (const [key, value] of new URLSearchParams(query)) {
    const known = options.find((option) => option === key)
    if (!known) {
      const guess = nearest(key, options)
      throw bad(location, `unknown option ${key}${guess ? `, did you mean ${guess}?` : ""}`)
    }
    given.set(known, value)
  }
  return given
}

function duration(
  given: ReadonlyMap<Option, string>,
  option: Option,
  unless: Millis,
  location: string,
): Millis {
  const text = given.get(option)
  if (text === undefined) return unless
  const millis = tryDuration(text)
  if (millis === undefined || millis < 1_000)
    throw bad(location, `${option}: write a duration of at least 1s`)
  return millis
}

function kindOf(text: string, location: string): QueueKind {
  if (text === "priority" || text === "quorum") return text
  throw bad(location, `queues: ${JSON.stringify(text)} is no kind: write priority or quorum`)
}

function tlsOf(given: ReadonlyMap<Option, string>, location: string): Tls {
  const file = (option: "ca" | "cert" | "key") => {
    const path = given.get(option)
    if (path === undefined) return {}
    try {
      return { [option]: readFileSync(path) }
    } catch (error) {
      throw bad(location, `${option}: cannot read ${path}: ${messageOf(error)}`)
    }
  }
  const servername = given.get("servername")
  return {
    ...file("ca"),
    ...file("cert"),
    ...file("key"),
    ...(servername !== undefined && { servername }),
    rejectUnauthorized: given.get("verify") !== "no",
  }
}

function decode(text: string, location: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw bad(location, `${JSON.stringify(text)} is not percent-encoded`)
  }
}

const bad = (location: string, what: string): TqError => new TqError("config", `${location}: ${what}`)
