/**
 * Private RabbitMQ servers for tests: each with its own folder, name, cookie and port mapper (epmd), on free ports of loopback. They can be
 * killed and started again on the same data, and end with the process that started them, however that ends.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./port.ts"
import { tempFolder } from "./temp.ts"

export interface RabbitOptions {
  /** Where its data and logs are; a temporary folder, removed when it stops, unless given. */
  readonly folder?: string
  /** Lines of rabbitmq.conf: `consumer_timeout = 60000`. */
  readonly config?: readonly string[]
  /** Erlang terms for what rabbitmq.conf does not know: `{channel_tick_interval, 1000}`. */
  readonly advanced?: string
  /** Of a cluster: nodes with one port mapper find each other by their names. */
  readonly mapper?: PortMapper
  readonly node?: string
}

/** Debian's own start script changes the user, which only its own folders survive. */
const scripts = ["/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/sbin"]

const program = (name: string): string =>
  scripts.map((folder) => join(folder, name)).find(existsSync) ?? Bun.which(name) ?? name

/** Linux ends it when we end; elsewhere only our own stop does. */
const leash = (): string[] => (Bun.which("setpriv") ? ["setpriv", "--pdeathsig", "KILL"] : [])

/** The port mapper of Erlang nodes. */
export class PortMapper {
  readonly port: number
  readonly #child: Bun.Subprocess

  private constructor(port: number, child: Bun.Subprocess) {
    this.port = port
    this.#child = child
  }

  static async start(): Promise<PortMapper> {
    const port = await freePort()
    // In the foreground: a node would start one as a daemon that nobody stops.
    const child = Bun.spawn([...leash(), "epmd", "-port", String(port), "-address", "127.0.0.1"], {
      stdio: ["ignore", "ignore", "ignore"],
    })
    await untilListening(port)
    return new PortMapper(port, child)
  }

  async stop(): Promise<void> {
    this.#child.kill()
    await this.#child.exited
  }
}

export class RabbitServer implements AsyncDisposable {
  readonly folder: string
  readonly node: string
  readonly #options: RabbitOptions
  readonly #mapper: PortMapper
  readonly #remove: () => void
  #ports: { readonly amqp: number; readonly dist: number } | undefined
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined

  private constructor(options: RabbitOptions, mapper: PortMapper) {
    this.#options = options
    this.#mapper = mapper
    const temp = options.folder === undefined ? tempFolder() : undefined
    this.folder = options.folder ?? temp!.path
    this.#remove = () => temp?.remove()
    this.node = options.node ?? `tq-${process.pid}-${++nodes}@localhost`
    for (const part of ["home", "mnesia", "log"]) mkdirSync(join(this.folder, part), { recursive: true })
    writeFileSync(join(this.folder, "home", ".erlang.cookie"), "tq-test", { mode: 0o400 })
    writeFileSync(join(this.folder, "plugins"), "[].\n")
  }

  /** A server that answers. Takes five seconds and more. */
  static async start(options: RabbitOptions = {}): Promise<RabbitServer> {
    const server = new RabbitServer(options, options.mapper ?? (await PortMapper.start()))
    // Somebody else may take a port between our asking and the server's binding it.
    for (let tries = 1; ; tries++) {
      server.#ports = { amqp: await freePort(), dist: await freePort() }
      server.#writeConfig()
      try {
        await server.restart()
        return server
      } catch (error) {
        if (tries === 3) throw error
      }
    }
  }

  get port(): number {
    return this.#ports!.amqp
  }

  get url(): string {
    return `amqp://127.0.0.1:${this.port}`
  }

  get pid(): number {
    if (!this.#child) throw new Error("the server does not run")
    return this.#child.pid
  }

  /** Starts it again after `kill` or `stop`, on the same ports and data. Resolves once it answers. */
  async restart(): Promise<void> {
    const child = Bun.spawn([...leash(), program("rabbitmq-server")], {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.#environment(),
    })
    this.#child = child
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const errors = child.stderr.text()
    void follow(child.stdout, (log) => /completed with \d+ plugins/.test(log) && resolve()).then(
      async (log) =>
        reject(new Error(`rabbitmq-server ended: ${log.slice(-1_000)}${(await errors).slice(-1_000)}`)),
    )
    const timer = setTimeout(() => child.kill("SIGKILL"), 120_000)
    await promise.finally(() => clearTimeout(timer))
  }

  /** kill -9. */
  kill(): Promise<void> {
    return this.#end("SIGKILL")
  }

  suspend(): void {
    process.kill(this.pid, "SIGSTOP")
  }

  resume(): void {
    process.kill(this.pid, "SIGCONT")
  }

  /** Ends it as an operator would; `restart` brings it back. */
  shutDown(): Promise<void> {
    return this.#end("SIGTERM")
  }

  /** Ends it for good, and removes its temporary folder. */
  async stop(): Promise<void> {
    await this.shutDown()
    if (!this.#options.mapper) await this.#mapper.stop()
    this.#remove()
  }

  /** What rabbitmqctl prints. It takes a second or two. */
  async ctl(...command: readonly string[]): Promise<string> {
    const child = Bun.spawn([program("rabbitmqctl"), "-q", "-n", this.node, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.#environment(),
    })
    const [code, out, err] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()])
    if (code !== 0) throw new Error(`rabbitmqctl ${command.join(" ")}: ${err}${out}`)
    return out.replace(/\n$/, "")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #environment(): Record<string, string> {
    const own = (name: string) => join(this.folder, name)
    return {
      PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: own("home"),
      LANG: "C.UTF-8",
      RABBITMQ_NODENAME: this.node,
      RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
      RABBITMQ_NODE_PORT: String(this.#ports!.amqp),
      RABBITMQ_DIST_PORT: String(this.#ports!.dist),
      ERL_EPMD_PORT: String(this.#mapper.port),
      RABBITMQ_MNESIA_BASE: own("mnesia"),
      RABBITMQ_LOG_BASE: own("log"),
      RABBITMQ_ENABLED_PLUGINS_FILE: own("plugins"),
      RABBITMQ_CONFIG_FILE: own("rabbitmq"),
      RABBITMQ_ADVANCED_CONFIG_FILE: own("advanced.config"),
      ERL_CRASH_DUMP: own("erl_crash.dump"),
      RABBITMQ_CONF_ENV_FILE: "/dev/null",
      // Becomes the server itself instead of watching over it.
      RUNNING_UNDER_SYSTEMD: "true",
    }
  }

  #writeConfig(): void {
    const { config = [], advanced = "" } = this.#options
    writeFileSync(join(this.folder, "rabbitmq.conf"), `${config.join("\n")}\n`)
    writeFileSync(join(this.folder, "advanced.config"), `[{rabbit, [${advanced}]}].\n`)
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

/** Nodes that form one cluster when they start. */
export class RabbitCluster implements AsyncDisposable {
  readonly nodes: readonly RabbitServer[]
  readonly #mapper: PortMapper

  private constructor(nodes: readonly RabbitServer[], mapper: PortMapper) {
    this.nodes = nodes
    this.#mapper = mapper
  }

  static async start(count: number): Promise<RabbitCluster> {
    const mapper = await PortMapper.start()
    const names = Array.from({ length: count }, () => `tq-${process.pid}-${++nodes}@localhost`)
    const config = [
      "cluster_formation.peer_discovery_backend = classic_config",
      ...names.map((name, i) => `cluster_formation.classic_config.nodes.${i + 1} = ${name}`),
      "cluster_partition_handling = pause_minority",
    ]
    const started = await Promise.all(names.map((node) => RabbitServer.start({ mapper, node, config })))
    return new RabbitCluster(started, mapper)
  }

  get url(): string {
    return `amqp://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill().then(() => node.stop())))
    await this.#mapper.stop()
  }
}

let nodes = 0
let shared: Promise<RabbitServer> | undefined

/** The server that all tests share: the one that `bun run test` names, else one of this process. Take a namespace of your own. */
export async function sharedRabbit(): Promise<string> {
  if (process.env.TQ_TEST_AMQP_URL) return process.env.TQ_TEST_AMQP_URL
  shared ??= RabbitServer.start()
  return (await shared).url
}

async function untilListening(port: number): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } })
      socket.end()
      return
    } catch {
      await Bun.sleep(10)
    }
  }
  throw new Error(`nobody listens on port ${port}`)
}

/** Reads a log to its end. @returns its last part */
async function follow(stream: ReadableStream<Uint8Array>, look: (log: string) => void): Promise<string> {
  const decoder = new TextDecoder()
  let log = ""
  for await (const bytes of stream) {
    log = (log + decoder.decode(bytes, { stream: true })).slice(-20_000)
    look(log)
  }
  return log
}
