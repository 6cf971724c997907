/**
 * Where a Redis store is: what its URL says.
 *
 *     redis://[USER[:PASSWORD]@]HOST[:6379][/DB]
 *     unix:PATH[?db=DB]    unix://[USER[:PASSWORD]@]/PATH[?db=DB]
 *     redis+sentinel://[USER[:PASSWORD]@]HOST[:26379],HOST…/MASTER[/DB][?sentinel-user=U&sentinel-password-file=FILE]
 *     redis+cluster://[USER[:PASSWORD]@]HOST[:6379],HOST…
 *
 * `rediss`, `rediss+sentinel` and `rediss+cluster` are the same with TLS, and take `?ca=FILE`, `&cert=FILE&key=FILE` (of the
 * client) and `&servername=NAME` (the name that the certificate must have, where it is not the host's). Without `ca` the
 * certificate must come from a public authority; it is always verified.
 */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { messageOf, TqError } from "../../core/errors.ts"
import { nearest } from "../../core/nearest.ts"
import { redactUrl } from "../../url.ts"
import { readPassword } from "../password.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Credentials {
  readonly username?: string
  readonly password?: string
}

/** The contents of the files. */
export interface Tls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
}

export type Target =
  | ({ readonly kind: "server" } & Address)
  | { readonly kind: "socket"; readonly path: string }
  | {
      readonly kind: "sentinel"
      readonly sentinels: readonly Address[]
      readonly master: string
      readonly credentials: Credentials
    }
  | { readonly kind: "cluster"; readonly nodes: readonly Address[] }

export interface RedisLocation {
  /** For messages: no password, no files. */
  readonly shown: string
  readonly target: Target
  readonly credentials: Credentials
  readonly db: number
  readonly tls?: Tls
}

/**
 * Reads a URL, and the files that it names.
 * @param password from a file of its own; wins over one in the URL
 */
export function redisLocation(url: string, password?: string): RedisLocation {
  return new Reader(url).read(password)
}

const tlsParameters = ["ca", "cert", "key", "servername"]

class Reader {
  readonly #shown: string
  readonly #scheme: string
  readonly #userinfo: string
  readonly #hosts: string
  readonly #path: string
  readonly #parameters: ReadonlyMap<string, string>

  constructor(url: string) {
    this.#shown = redactUrl(url).replace(/\?.*$/s, "")
    const [, scheme = "", rest = ""] = /^([a-z+]+):(.*)$/is.exec(url) ?? []
    this.#scheme = scheme.toLowerCase()
    const mark = rest.indexOf("?")
    const place = mark < 0 ? rest : rest.slice(0, mark)
    this.#parameters = this.#parametersIn(mark < 0 ? "" : rest.slice(mark + 1))
    if (this.#scheme === "unix" && !place.startsWith("//")) {
      this.#userinfo = this.#hosts = ""
      this.#path = this.#decoded(place)
      return
    }
    const [, userinfo = "", hosts = "", path = ""] =
      /^\/\/(?:([^/]*)@)?([^/@]*)(\/.*)?$/s.exec(place) ??
      this.#refuse("is no URL of Redis: write redis://HOST")
    this.#userinfo = userinfo
    this.#hosts = hosts
    this.#path = this.#decoded(path)
  }

  read(password: string | undefined): RedisLocation {
    const tls = this.#tls()
    return {
      shown: this.#shown,
      target: this.#target(),
      credentials: this.#credentials(password),
      db: this.#db(),
      ...(tls && { tls }),
    }
  }

  #target(): Target {
    switch (this.#kind()) {
      case "socket": {
        if (this.#hosts !== "") this.#refuse("names a host: write unix:/PATH")
        if (this.#path === "") this.#refuse("names no socket: write unix:/PATH")
        return { kind: "socket", path: resolve(this.#path) }
      }
      case "sentinel": {
        const [, master] = this.#path.split("/")
        if (!master) this.#refuse("names no master: write redis+sentinel://HOST,HOST/MASTER")
        const file = this.#parameters.get("sentinel-password-file")
        const username = this.#parameters.get("sentinel-user")
        return {
          kind: "sentinel",
          sentinels: this.#addresses(26_379),
          master,
          credentials: {
            ...(username !== undefined && { username }),
            ...(file !== undefined && { password: readPassword(file) }),
          },
        }
      }
      case "cluster":
        return { kind: "cluster", nodes: this.#addresses(6379) }
      case "server": {
        const [address, ...more] = this.#addresses(6379)
        if (more.length > 0) this.#refuse("names several hosts: write redis+sentinel:// or redis+cluster://")
        return { kind: "server", ...address! }
      }
    }
  }

  #kind(): Target["kind"] {
    if (this.#scheme === "unix") return "socket"
    if (this.#scheme.endsWith("+sentinel")) return "sentinel"
    return this.#scheme.endsWith("+cluster") ? "cluster" : "server"
  }

  #addresses(usual: number): readonly Address[] {
    return this.#hosts.split(",").map((text) => {
      const [, ipv6, name, digits] = /^(?:\[([0-9a-f:.]+)\]|([^[\]:]+))(?::(\d+))?$/i.exec(text) ?? []
      const port = digits === undefined ? usual : Number(digits)
      const host = ipv6 ?? name
      if (host !== undefined && port > 0 && port < 65_536) return { host, port }
      return this.#refuse(text === "" ? "names no host" : `has a bad host or port: ${JSON.stringify(text)}`)
    })
  }

  #credentials(password: string | undefined): Credentials {
    const colon = this.#userinfo.indexOf(":")
    const username = this.#decoded(colon < 0 ? this.#userinfo : this.#userinfo.slice(0, colon))
    const given = password ?? (colon < 0 ? "" : this.#decoded(this.#userinfo.slice(colon + 1)))
    if (username !== "" && given === "") {
      this.#refuse(`names the user ${username} without a password: give it with --password-file`)
    }
    return { ...(username !== "" && { username }), ...(given !== "" && { password: given }) }
  }

  #db(): number {
    const parts = this.#path.split("/").slice(1)
    const kind = this.#kind()
    const inPath = kind === "server" ? parts : kind === "sentinel" ? parts.slice(1) : []
    if (inPath.length > 1 || (kind === "cluster" && parts.join("") !== "")) {
      this.#refuse(`has too much after its ${kind === "cluster" ? "hosts" : "database"}`)
    }
    const text = inPath[0] || this.#parameters.get("db") || "0"
    return /^\d{1,6}$/.test(text) ? Number(text) : this.#refuse(`has a bad database: ${JSON.stringify(text)}`)
  }

  #tls(): Tls | undefined {
    if (!this.#scheme.startsWith("rediss")) return undefined
    const ca = this.#file("ca")
    const cert = this.#file("cert")
    const key = this.#file("key")
    const servername = this.#parameters.get("servername")
    if ((cert === undefined) !== (key === undefined)) this.#refuse("needs both cert and key, or neither")
    return {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(servername !== undefined && { servername }),
    }
  }

  #file(name: string): string | undefined {
    const path = this.#parameters.get(name)
    if (path === undefined) return undefined
    try {
      return readFileSync(path, "utf8")
    } catch (error) {
      return this.#refuse(`: cannot read ${name}=${path}: ${messageOf(error)}`)
    }
  }

  #parametersIn(query: string): ReadonlyMap<string, string> {
    const known = this.#knownParameters()
    const pairs = query.split("&").filter((pair) => pair !== "")
    return new Map(
      pairs.map((pair) => {
        const [name = "", ...value] = pair.split("=")
        if (known.includes(name)) return [name, this.#decoded(value.join("="))]
        if (name === "password") this.#refuse("has a password as a parameter: write redis://:PASSWORD@HOST")
        if (tlsParameters.includes(name)) this.#refuse(`has ${name}= without TLS: write rediss`)
        const guess = nearest(name, known)
        return this.#refuse(`has an unknown parameter ${name}${guess ? `, did you mean ${guess}?` : ""}`)
      }),
    )
  }

  #knownParameters(): readonly string[] {
    const kind = this.#kind()
    return [
      ...(kind === "cluster" ? [] : ["db"]),
      ...(this.#scheme.startsWith("rediss") ? tlsParameters : []),
      ...(kind === "sentinel" ? ["sentinel-user", "sentinel-password-file"] : []),
    ]
  }

  #decoded(text: string): string {
    try {
      return decodeURIComponent(text)
    } catch {
      return this.#refuse("has a % that is no percent-encoding: write %25")
    }
  }

  #refuse(what: string): never {
    throw new TqError("config", `the URL ${this.#shown} ${what}`.replace(" : ", ": "))
  }
}
