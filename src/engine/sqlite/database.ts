/** One connection to the store: prepared statements, transactions that wait their turn without blocking the event loop. */
import { constants, Database, SQLiteError, type SQLQueryBindings, type Statement } from "bun:sqlite"
import { statSync } from "node:fs"
import type { Clock, Millis, Random } from "../../core/clock.ts"
import { messageOf, TqError } from "../../core/errors.ts"
import type { Status } from "../../core/state.ts"
import { failpoint } from "../../failpoint.ts"
import { type Bell, bellAt } from "./bell.ts"
import { chooseLibrary, refuseDamagingLibrary } from "./library.ts"
import { hasHeldLocks } from "./liveness.ts"
import { type Location, prepare } from "./location.ts"
import schema from "./schema.sql" with { type: "text" }

/** Steps from one schema to the next: the first would take version 1 to 2. */
const ownMigrations: readonly string[] = []
/** "tq" in ASCII: the application id that marks our files (https://sqlite.org/pragma.html#pragma_application_id). */
const applicationId = 0x7471

/** A connection belongs to one thread: the lock that SQLite would take at every binding and step guards nothing. */
const { SQLITE_OPEN_READWRITE: readWrite, SQLITE_OPEN_NOMUTEX: withoutMutex } = constants

type Bindings = SQLQueryBindings[]

export interface DatabaseOptions {
  readonly clock: Clock
  readonly random: Random
  /** How long a write waits for its turn before the store counts as unreachable. */
  readonly patience: Millis
  /** Everything fsynced, not only what was promised to somebody. */
  readonly alwaysDurable: boolean
  /** Brings an older schema up to date also while workers use the store. */
  readonly migrate: boolean
  readonly migrations?: readonly string[]
}

/** So many more tasks of one kind. */
interface Depth {
  readonly queue: string
  readonly priority: number
  readonly by: Partial<Record<Status, number>>
}

export class Store {
  readonly clock: Clock
  readonly location: Location
  readonly bell: Bell
  readonly #options: DatabaseOptions
  readonly #statements = new Map<string, Statement>()
  /** Changes of `depth` in the running transaction. */
  readonly #depths: Depth[] = []
  #database: Database | undefined
  #bytes = 0
  #commits = 0
  #inode = 0
  #synchronous = ""
  #ring = false

  constructor(location: Location, options: DatabaseOptions) {
    this.location = location
    this.clock = options.clock
    this.#options = options
    this.bell = bellAt(location.bell)
  }

  get isOpen(): boolean {
    return this.#database !== undefined
  }

  async open(): Promise<void> {
    if (this.isOpen) return
    const { database } = this.location
    const fresh = prepare(this.location)
    chooseLibrary()
    try {
      this.#database = new Database(database, readWrite | withoutMutex)
      refuseDamagingLibrary(this.#database)
      this.#database.run("PRAGMA busy_timeout = 0")
      await this.#patiently(() => this.#database!.run("PRAGMA journal_mode = WAL"))
      this.#inode = statSync(database).ino
      if (fresh || this.#version() === 0) await this.#create()
    } catch (error) {
      this.close()
      throw openingError(error, database)
    }
    try {
      await this.#bringUpToDate()
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** `PRAGMA user_version` of a store that this tq reads and writes. */
  get #newest(): number {
    return 1 + this.#migrations.length
  }

  get #migrations(): readonly string[] {
    return this.#options.migrations ?? ownMigrations
  }

  async #bringUpToDate(): Promise<void> {
    const { database } = this.location
    const version = this.#version()
    if (version > this.#newest) {
      throw new TqError(
        "config",
        `${database} has schema ${version}, this tq reads ${this.#newest}: use the tq that wrote it`,
      )
    }
    if (version === this.#newest) return
    // An older tq that works on it would not know what it reads.
    if (!this.#options.migrate && hasHeldLocks(this.location.locks)) {
      throw new TqError(
        "config",
        `${database} has schema ${version}, this tq ${this.#newest}: stop its workers, or tq doctor --migrate`,
      )
    }
    await this.#transaction((open) => {
      for (const step of this.#migrations.slice(this.#version() - 1)) open.run(step)
      open.run(`PRAGMA user_version = ${this.#newest}`)
    })
  }

  close(): void {
    this.bell.close()
    for (const statement of this.#statements.values()) statement.finalize()
    this.#statements.clear()
    this.#database?.close()
    this.#database = undefined
    this.#synchronous = ""
  }

  /** A prepared statement, kept: bun:sqlite's own cache holds only twenty. */
  sql<Row = unknown>(text: string): Statement<Row, Bindings> {
    let statement = this.#statements.get(text)
    if (!statement) {
      statement = this.#open().prepare(text)
      this.#statements.set(text, statement)
    }
    return statement as Statement<Row, Bindings>
  }

  /** Several statements at once, that return nothing. */
  script(text: string): void {
    this.#open().run(text)
  }

  /** Reads from one snapshot. */
  async read<T>(work: () => T): Promise<T> {
    return this.#patiently(() => {
      this.sql("BEGIN").run()
      try {
        return work()
      } finally {
        this.sql("COMMIT").run()
      }
    })
  }

  /**
   * One write transaction; `work` must not await. `durable`: on disk when the promise resolves; otherwise a power loss may
   * take it back, together with everything after it and nothing before (https://sqlite.org/pragma.html#pragma_synchronous).
   */
  async write<T>(durability: "durable" | "lazy", work: () => T): Promise<T> {
    const result = await this.#patiently(() => {
      this.#synchronise(durability === "durable" || this.#options.alwaysDurable ? "FULL" : "NORMAL")
      this.sql("BEGIN IMMEDIATE").run()
      this.#ring = false
      try {
        const value = work()
        this.flushCounts()
        failpoint("before-commit")
        this.sql("COMMIT").run()
        failpoint("after-commit")
        this.#commits++
        return value
      } catch (error) {
        this.#depths.length = 0
        this.#bytes = 0
        if (this.#open().inTransaction) this.sql("ROLLBACK").run()
        throw error
      }
    })
    if (this.#ring) this.bell.ring()
    return result
  }

  /** After the commit of the running transaction, wakes whoever waits. */
  ringAfterwards(): void {
    this.#ring = true
  }

  /** Notes in the running transaction that `by` more tasks of this kind exist. */
  count(queue: string, status: Status, priority: number, by: number): void {
    const depth = this.#depth(queue, priority)
    depth.by[status] = (depth.by[status] ?? 0) + by
  }

  #depth(queue: string, priority: number): Depth {
    // A few a transaction, most calls in a row for the same one: a search beats a map with a key made of two.
    for (let at = this.#depths.length - 1; at >= 0; at--) {
      const depth = this.#depths[at]!
      if (depth.priority === priority && depth.queue === queue) return depth
    }
    const depth: Depth = { queue, priority, by: {} }
    this.#depths.push(depth)
    return depth
  }

  /** Notes in the running transaction that `by` more bytes of results and logs are kept. */
  countBytes(by: number): void {
    this.#bytes += by
  }

  /** Writes what `count` and `countBytes` have noted; every commit does it too. */
  flushCounts(): void {
    if (this.#bytes !== 0) {
      this.sql(
        "INSERT INTO fact VALUES ('output bytes', ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
      ).run(this.#bytes)
    }
    for (const { queue, priority, by } of this.#depths) {
      for (const [status, n] of Object.entries(by)) {
        if (n === 0) continue
        this.sql(
          "INSERT INTO depth VALUES (?, ?, ?, ?) ON CONFLICT (queue, status, priority) DO UPDATE SET n = n + excluded.n",
        ).run(queue, status, priority, n)
      }
    }
    this.#depths.length = 0
    this.#bytes = 0
  }

  /** Changes whenever this connection or another has committed. 0.9 µs. */
  version(): string {
    const { data_version } = this.sql<{ data_version: number }>("PRAGMA data_version").get()!
    return `${data_version} ${this.#commits}`
  }

  /** Whether the file was deleted or replaced under us: what we write to it now is lost. */
  isReplaced(): boolean {
    return statSync(this.location.database, { throwIfNoEntry: false })?.ino !== this.#inode
  }

  #open(): Database {
    if (this.#database) return this.#database
    throw new TqError("internal", `${this.location.database} is closed`)
  }

  #version(): number {
    return this.#open().query<{ user_version: number }, []>("PRAGMA user_version").get()!.user_version
  }

  async #create(): Promise<void> {
    await this.#transaction((database) => {
      if (this.#version() !== 0) return
      refuseStranger(database, this.location.database)
      database.run(schema)
      database.run(`PRAGMA application_id = ${applicationId}`)
      database.run("PRAGMA user_version = 1")
    })
  }

  /** For changes of the schema itself. */
  async #transaction(work: (database: Database) => void): Promise<void> {
    await this.#patiently(() => {
      const database = this.#open()
      database.run("BEGIN IMMEDIATE")
      try {
        work(database)
        database.run("COMMIT")
      } catch (error) {
        if (database.inTransaction) database.run("ROLLBACK")
        throw error
      }
    })
  }

  #synchronise(level: "FULL" | "NORMAL"): void {
    if (this.#synchronous === level) return
    this.sql(`PRAGMA synchronous = ${level}`).run()
    this.#synchronous = level
  }

  /**
   * Runs `work` again while the store is busy, after 1–3 ms, drawn so that the waiting processes spread. SQLite's own
   * busy handler would sleep on the event loop that keeps the leases.
   */
  async #patiently<T>(work: () => T): Promise<T> {
    const { clock, random, patience } = this.#options
    const deadline = clock.mono() + patience
    for (;;) {
      try {
        return work()
      } catch (error) {
        if (!isBusy(error)) throw storeError(error, this.location.database)
        if (clock.mono() > deadline) {
          throw new TqError(
            "unreachable",
            `${this.location.database} was busy for ${Math.round(patience / 1000)} s`,
          )
        }
        await Bun.sleep(1 + 2 * random())
      }
    }
  }
}

function refuseStranger(database: Database, path: string): void {
  const tables = database.query<{ n: number }, []>("SELECT count(*) AS n FROM sqlite_schema").get()!.n
  if (tables > 0)
    throw new TqError("exists", `${path} is a SQLite database of another program: name another file`)
}

const isBusy = (error: unknown): boolean =>
  error instanceof SQLiteError && /^SQLITE_(BUSY|LOCKED)/.test(error.code ?? "")

function openingError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error
  if (error.code?.startsWith("SQLITE_CANTOPEN"))
    return new TqError("denied", `cannot open ${path}: permission denied`)
  return storeError(error, path)
}

/** SQLite's result codes (https://sqlite.org/rescode.html) as errors that a user can act on. */
function storeError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error
  const code = error.code ?? ""
  const cause = { cause: error }
  if (code === "SQLITE_FULL") return new TqError("io", `${path}: the disk is full`, cause)
  if (code.startsWith("SQLITE_READONLY")) return new TqError("denied", `${path} is read-only`, cause)
  if (code.startsWith("SQLITE_NOTADB"))
    return new TqError("exists", `${path} is not a tq database: name another file`, cause)
  if (code.startsWith("SQLITE_CORRUPT")) {
    return new TqError("io", `${path} is damaged (${messageOf(error)}): restore it, or move it away`, cause)
  }
  if (code.startsWith("SQLITE_IOERR") || code.startsWith("SQLITE_CANTOPEN")) {
    return new TqError("io", `${path}: ${messageOf(error)} (${code})`, cause)
  }
  return error
}
