/** What a running command has at hand: settings, the engine, the streams. */
import type { Config } from "../config.ts"
import { loadConfig } from "../config.ts"
import { type Clock, type Millis, type Random, systemClock, systemRandom } from "../core/clock.ts"
import { parseDuration } from "../core/duration.ts"
import { TqError } from "../core/errors.ts"
import { defaultPayloadLimit, type Task } from "../core/task.ts"
import type { Engine } from "../engine/engine.ts"
import { openConfigured, openEngine } from "../engine/open.ts"
import { redactUrl } from "../url.ts"
import type { ParsedFlags } from "./flag.ts"
import type { globalFlags } from "./globals.ts"
import { isTerminal, type Paint, painter, printable, wantsColour, write } from "./terminal.ts"

/** One-shot commands give up on the engine after this long. */
const defaultPatience: Millis = 10_000

/** Back to the start of the line, which is erased. */
const clearLine = "\r\u001b[K"

export class Session {
  readonly json: boolean
  readonly quiet: boolean
  readonly clock: Clock = systemClock
  readonly random: Random = systemRandom
  readonly env = process.env
  readonly #flags: ParsedFlags<typeof globalFlags>
  #config: Config | undefined
  #engine: Engine | undefined
  #inProgress = false

  constructor(flags: ParsedFlags<typeof globalFlags>) {
    this.#flags = flags
    this.json = flags.json
    this.quiet = flags.quiet
  }

  get config(): Config {
    this.#config ??= this.#load()
    return this.#config
  }

  /** Reads the settings anew; the present ones stay when those make no sense. The engine stays as it is. */
  reload(): void {
    this.#config = this.#load()
  }

  #load(): Config {
    return loadConfig(this.#given(), this.env, process.cwd(), (message) => this.talk(message))
  }

  #given() {
    const { url, store, namespace, config, "password-file": passwordFile, "key-file": keyFile } = this.#flags
    return {
      ...(url !== undefined && { url }),
      ...(store !== undefined && { store }),
      ...(namespace !== undefined && { namespace }),
      ...(config !== undefined && { config }),
      ...(passwordFile !== undefined && { "password-file": passwordFile }),
      ...(keyFile !== undefined && { "key-file": keyFile }),
    }
  }

  /** The engine, opened on first use. */
  async engine(): Promise<Engine> {
    this.#engine ??= await this.connect()
    return this.#engine
  }

  /**
   * Another connection to the same store; the caller closes it.
   * @param migrate brings a store of an older tq up to date, whoever uses it
   */
  connect(migrate = false): Promise<Engine> {
    if (this.#flags.store !== undefined && !/^amqps?:/i.test(this.config.url.value)) {
      throw new TqError(
        "unsupported",
        `--store goes with RabbitMQ only: ${this.location} keeps its own states`,
      )
    }
    return openConfigured(this.config, { ...this.#means(), migrate })
  }

  /** A second store, of the same namespace; the caller closes it. */
  connectTo(place: { readonly url: string; readonly passwordFile?: string }): Promise<Engine> {
    return openEngine({ ...place, ...this.#means(), namespace: this.config.namespace.value })
  }

  #means() {
    const patience = this.#flags["connect-timeout"]
    return {
      clock: this.clock,
      random: this.random,
      patience: patience === undefined ? defaultPatience : parseDuration(patience, "--connect-timeout"),
    }
  }

  async close(): Promise<void> {
    await this.#engine?.close()
    this.#engine = undefined
  }

  /** The store as messages name it. */
  get location(): string {
    return this.#engine?.location ?? redactUrl(this.config.url.value)
  }

  /** Signs what is pushed; undefined without a key file. Loaded only then: most pushes have none. */
  async signer(): Promise<((task: Task) => Task) | undefined> {
    const { keyFile, namespace } = this.config
    if (keyFile.value === undefined) return undefined
    const { signerFrom } = await import("../keys.ts")
    return signerFrom(keyFile.value, namespace.value)
  }

  /** Signs what the ticks of a schedule push; undefined without a key file. */
  async cronSigner(): Promise<((task: Task, cron: string) => Task) | undefined> {
    const { keyFile, namespace } = this.config
    if (keyFile.value === undefined) return undefined
    const { cronSignerFrom } = await import("../keys.ts")
    return cronSignerFrom(keyFile.value, namespace.value)
  }

  /** Bytes of a payload, and of a result. */
  get payloadLimit(): number {
    return this.config.file("payloadLimit") ?? defaultPayloadLimit
  }

  /** Data: stdout. */
  print(text: string | Uint8Array): void {
    write(1, text)
  }

  printLine(text: string): void {
    write(1, `${text}\n`)
  }

  printError(text: string | Uint8Array): void {
    write(2, text)
  }

  /** Talk: stderr, unless --quiet. */
  talk(message: string): void {
    if (!this.quiet) this.warn(message)
  }

  /** A remark that --quiet does not silence: something needs attention. */
  warn(message: string): void {
    if (this.#inProgress) write(2, clearLine)
    write(2, `tq: ${printable(message.replaceAll("\n", " "))}\n`)
  }

  get paint(): Paint {
    return painter(wantsColour(1, this.env, this.#flags["no-color"]))
  }

  get paintTalk(): Paint {
    return painter(wantsColour(2, this.env, this.#flags["no-color"]))
  }

  get showsProgress(): boolean {
    return !this.quiet && isTerminal(2)
  }

  /** Overwrites the line of progress. Only where `showsProgress`. */
  progress(text: string): void {
    write(2, `${clearLine}${text}`)
    this.#inProgress = true
  }

  /** A summary follows: the line of progress would only say it twice. */
  wipeProgress(): void {
    if (this.#inProgress) write(2, clearLine)
    this.#inProgress = false
  }

  endProgress(): void {
    if (this.#inProgress) write(2, "\n")
    this.#inProgress = false
  }
}
