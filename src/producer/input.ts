/** `push --batch`, `--lines` and `-0`: the tasks come from stdin. */
import type { Session } from "../cli/session.ts"
import { interruption } from "../cli/signals.ts"
import { stdinStream } from "../cli/stdin.ts"
import { LineWriter, ReaderGone } from "../cli/terminal.ts"
import { TqError } from "../core/errors.ts"
import { stringifySpliced } from "../core/json.ts"
import { needsStore } from "../engine/refusal.ts"
import { draftFromLine, fillTemplate, records, textOf } from "./batch.ts"
import { type Draft, type Drafting, taskFrom } from "./draft.ts"
import { type Entry, inLine, pushMany } from "./many.ts"

export interface InputOptions {
  readonly session: Session
  readonly drafting: Drafting
  /** What the options say of every task; a line of `--batch` may say otherwise. */
  readonly shared: Draft
  /** What each line or record is put into; undefined for `--batch`, whose lines say it themselves. */
  readonly template: Draft | undefined
  readonly separator: "\n" | "\0"
  readonly failIfExists: boolean
}

/** @returns the exit code */
export async function pushInput(options: InputOptions): Promise<number> {
  const { session, separator, failIfExists } = options
  const engine = await session.engine()
  if (failIfExists && !engine.supports.dedupe) throw needsStore("--fail-if-exists")
  const out = new LineWriter(1)
  const interrupted = interruption()
  try {
    await pushMany(records(stdinStream(interrupted.signal), separator), {
      engine,
      read: readerOf(options),
      unit: unitOf(separator),
      accepted: (id, duplicate) =>
        print(() => out.line(session.json ? stringifySpliced({ id, duplicate }) : id)),
      notice: (text) => session.talk(text),
      progress: (count) => {
        print(() => out.flush())
        if (session.showsProgress) session.progress(`${count.toLocaleString("en")} pushed`)
      },
      failIfExists,
      signal: interrupted.signal,
    })
  } catch (error) {
    if (!interrupted.exitCode || !(error instanceof TqError)) throw error
    session.endProgress()
    session.warn(error.message)
    return interrupted.exitCode
  } finally {
    session.endProgress()
    interrupted.stop()
  }
  return 0
}

/** `--dry-run`: hands every task on instead of pushing it. */
export async function readInput(options: InputOptions, show: (entry: Entry) => void): Promise<void> {
  const { separator } = options
  const read = readerOf(options)
  let line = 0
  for await (const batch of records(stdinStream(), separator)) {
    for (const record of batch) {
      line++
      try {
        const entry = read(record)
        if (entry) show(entry)
      } catch (error) {
        throw inLine(unitOf(separator), line, error)
      }
    }
  }
}

const unitOf = (separator: "\n" | "\0") => (separator === "\0" ? "records" : "lines")

function readerOf({ session, drafting, shared, template }: InputOptions) {
  const isAlike = Object.keys(shared).length === 0
  const by = { ...drafting }
  return (record: Uint8Array): Entry | undefined => {
    if (record.byteLength === 0) return undefined
    const text = textOf(record)
    const own = template ? filled(template, text) : draftFromLine(text)
    if (!own) return undefined
    by.now = session.clock.now()
    const task = taskFrom(isAlike ? own : { ...shared, ...own }, by)
    return { task, hasOwnId: own.id !== undefined }
  }
}

const filled = (template: Draft, record: string): Draft =>
  template.command
    ? { command: fillTemplate(template.command, record) }
    : { ...template, args: fillTemplate(template.args ?? [], record) }

/** Ids that nobody reads stop the push: what is committed must be known. */
function print(write: () => void): void {
  try {
    write()
  } catch (error) {
    throw error instanceof ReaderGone ? new TqError("io", "nobody reads the ids any more") : error
  }
}
