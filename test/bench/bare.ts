/**
 * The bare SQLite loops that the embedded engine is held against: one table, prepared statements, no leases, no counts, no
 * checks: what the storage alone allows with the same batches and the same durability.
 */
import { Database } from "bun:sqlite"
import { timed } from "./measure.ts"

export class BareQueue {
  readonly #database: Database
  readonly #begin
  readonly #commit
  readonly #insert
  readonly #claim
  readonly #complete

  constructor(path: string) {
    this.#database = new Database(path, { create: true })
    this.#database.run("PRAGMA journal_mode = WAL")
    this.#database.run(
      "CREATE TABLE task (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, queue TEXT, priority INTEGER, status TEXT, body TEXT, worker TEXT, result TEXT)",
    )
    this.#database.run("CREATE INDEX ready ON task (queue, priority, seq) WHERE status = 'pending'")
    this.#begin = this.#database.prepare("BEGIN IMMEDIATE")
    this.#commit = this.#database.prepare("COMMIT")
    this.#insert = this.#database.prepare(
      "INSERT INTO task (id, queue, priority, status, body) VALUES (?, ?, ?, 'pending', ?)",
    )
    this.#claim = this.#database.prepare<{ seq: number }, [number]>(
      `UPDATE task SET status = 'running', worker = 'w' WHERE seq IN (SELECT seq FROM task WHERE queue = 'default'
       AND status = 'pending' ORDER BY priority, seq LIMIT ?) RETURNING seq, id, body`,
    )
    this.#complete = this.#database.prepare(
      "UPDATE task SET status = 'completed', worker = NULL, result = ? WHERE seq = ?",
    )
  }

  /** `FULL` or `NORMAL`: https://sqlite.org/pragma.html#pragma_synchronous */
  synchronous(level: "FULL" | "NORMAL"): void {
    this.#database.run(`PRAGMA synchronous = ${level}`)
  }

  push(ids: readonly string[], body: string, batch: number): Promise<number> {
    return timed(() => {
      for (let at = 0; at < ids.length; at += batch) {
        this.#begin.run()
        for (const id of ids.slice(at, at + batch)) this.#insert.run(id, "default", 5, body)
        this.#commit.run()
      }
    })
  }

  /** Claims and completes everything. @returns milliseconds */
  drain(batch: number): Promise<number> {
    return timed(() => {
      for (;;) {
        this.#begin.run()
        const rows = this.#claim.all(batch)
        this.#commit.run()
        if (rows.length === 0) return
        this.#begin.run()
        for (const { seq } of rows) this.#complete.run('{"ok":true}', seq)
        this.#commit.run()
      }
    })
  }

  close(): void {
    this.#database.close()
  }
}
