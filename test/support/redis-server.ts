/**
 * Private Redis servers for tests: each with its own folder, on free ports of loopback. They can be killed, suspended and started
 * again on the same data, and end with the process that started them, however that ends.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./port.ts"
import { type Certificates, makeCertificates } from "./redis-tls.ts"
import { tempFolder } from "./temp.ts"

export interface RedisOptions {
  /** Where its data and configuration are; a temporary folder, removed when it stops, unless given. */
  readonly folder?: string
  /** Of the default user. */
  readonly password?: string
  /** TLS only, with a CA of its own; `clients`: it also wants a certificate of its clients. */
  readonly tls?: "server" | "clients"
  /** Lines of redis.conf: `appendonly yes`, `user tq on >secret ~{tq}:* +@all`. */
  readonly config?: readonly string[]
}

/** What every server of the tests has; lines of `config` come later and win. It keeps nothing on disk. */
const usual = ["bind 127.0.0.1", 'save ""', "appendonly no", "daemonize no", "maxmemory-policy noeviction"]

/** The first thing that a server logs once it answers. */
const ready = /Ready to accept connections|Sentinel ID is/

export class RedisServer implements AsyncDisposable {
  readonly folder: string
  readonly certificates: Certificates | undefined
  readonly #options: RedisOptions
  readonly #remove: () => void
  #port = 0
  #child: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined

  private constructor(options: RedisOptions) {
    this.#options = options
    const temp = options.folder === undefined ? tempFolder() : undefined
    this.folder = options.folder ?? temp!.path
    this.#remove = () => temp?.remove()
    mkdirSync(this.folder, { recursive: true })
    this.certificates = options.tls && makeCertificates(join(this.folder, "tls"))
  }

  /** A server that answers. */
  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(options)
    // Somebody else may take the port between our asking and the server's binding it.
    for (let tries = 1; ; tries++) {
      server.#port = await freePort()
      server.#writeConfig()
      try {
        await server.restart()
        return server
      } catch (error) {
        if (tries === 5) throw error
      }
    }
  }

  get port(): number {
    return this.#port
  }

  get pid(): number {
    if (!this.#child) throw new Error("the server does not run")
    return this.#child.pid
  }

  /** With what the default user needs to come in. */
  get url(): string {
    const { password, tls } = this.#options
    return this.urlOf(password === undefined ? "" : `:${password}@`, tls === "clients")
  }

  /** @param credentials `user:password@` */
  urlOf(credentials: string, withClientCertificate = false): string {
    const where = `${credentials}127.0.0.1:${this.port}`
    if (!this.certificates) return `redis://${where}`
    const { ca, clientCert, clientKey } = this.certificates
    return `rediss://${where}?ca=${ca}${withClientCertificate ? `&cert=${clientCert}&key=${clientKey}` : ""}`
  }

  get socket(): string {
    return join(this.folder, "redis.sock")
  }

  /** Starts it again after `kill` or `stop`, on the same port and data. Resolves once it answers. */
  async restart(): Promise<void> {
    // Linux ends it when we end; elsewhere only our own stop does.
    const leash = Bun.which("setpriv") ? ["setpriv", "--pdeathsig", "KILL"] : []
    const child = Bun.spawn([...leash, "redis-server", join(this.folder, "redis.conf"), ...this.mode], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    this.#child = child
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    void follow(child.stdout, (log) => ready.test(log) && resolve()).then((log) =>
      reject(new Error(`redis-server ended: ${log.slice(-1_000)}`)),
    )
    const timer = setTimeout(() => child.kill("SIGKILL"), 120_000)
    await promise.finally(() => clearTimeout(timer))
  }

  /** kill -9. */
  kill(): Promise<void> {
    return this.#end("SIGKILL")
  }

  /** It stops answering, and its connections stay open. */
  suspend(): void {
    process.kill(this.pid, "SIGSTOP")
  }

  resume(): void {
    process.kill(this.pid, "SIGCONT")
  }

  /** Asks it to end, and removes its temporary folder. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM")
    this.#remove()
  }

  /** What redis-cli prints for a command of the default user. */
  async cli(...command: readonly string[]): Promise<string> {
    const child = Bun.spawn(["redis-cli", ...this.#credentials, "-p", String(this.port), ...command], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    const [code, out, err] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()])
    if (code !== 0) throw new Error(`redis-cli ${command.join(" ")}: ${err}${out}`)
    return out.replace(/\n$/, "")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Arguments after the configuration. */
  get mode(): readonly string[] {
    return this.#options.config?.some((line) => line.startsWith("sentinel ")) ? ["--sentinel"] : []
  }

  get #credentials(): string[] {
    const { password } = this.#options
    const { certificates } = this
    return [
      ...(password === undefined ? [] : ["--no-auth-warning", "-a", password]),
      ...(certificates
        ? [
            "--tls",
            "--cacert",
            certificates.ca,
            "--cert",
            certificates.clientCert,
            "--key",
            certificates.clientKey,
          ]
        : []),
    ]
  }

  #writeConfig(): void {
    const { password, tls, config = [] } = this.#options
    const { certificates } = this
    const lines = [
      ...(this.mode.length > 0 ? ["bind 127.0.0.1"] : [...usual, `unixsocket ${this.socket}`]),
      `dir ${this.folder}`,
      ...(password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`]),
      ...(certificates
        ? [
            "port 0",
            `tls-port ${this.port}`,
            `tls-cert-file ${certificates.cert}`,
            `tls-key-file ${certificates.key}`,
            `tls-ca-cert-file ${certificates.ca}`,
            `tls-auth-clients ${tls === "clients" ? "yes" : "no"}`,
          ]
        : [`port ${this.port}`]),
      ...config,
    ]
    writeFileSync(join(this.folder, "redis.conf"), `${lines.join("\n")}\n`)
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child) return
    child.kill(signal)
    // Not for ever: a server that hangs as it ends would hang the tests.
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000)
    await child.exited
    clearTimeout(timer)
  }
}

let shared: Promise<RedisServer> | undefined

/** The server that all tests share: the one that `bun run test` names, else one of this process. Take a namespace of your own. */
export async function sharedRedis(): Promise<string> {
  if (process.env.TQ_TEST_REDIS_URL) return process.env.TQ_TEST_REDIS_URL
  shared ??= RedisServer.start()
  return (await shared).url
}

/** Reads a log to its end. @returns all of it */
async function follow(stream: ReadableStream<Uint8Array>, look: (log: string) => void): Promise<string> {
  const decoder = new TextDecoder()
  let log = ""
  for await (const bytes of stream) {
    log = (log + decoder.decode(bytes, { stream: true })).slice(-100_000)
    look(log)
  }
  return log
}
