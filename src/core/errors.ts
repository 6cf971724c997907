/** The one error class of tq, its closed set of codes, and the one place where codes become exit codes. */

const exitCodes = {
  /** The awaited task did not complete. */
  failed: 1,
  /** Wrong flags or arguments. */
  usage: 64,
  /** A bad payload or bad input data. */
  data: 65,
  /** No such task, queue, worker or file; also one that was pruned. */
  missing: 66,
  /** The engine cannot be reached, or did not answer in time. */
  unreachable: 69,
  /** A bug in tq. */
  internal: 70,
  /** Cannot be created, or exists and differs. */
  exists: 73,
  /** Input or output failed; the disk is full. */
  io: 74,
  /** Not now: exists already, nobody serves it, the broker is blocked. */
  later: 75,
  /** Not permitted. */
  denied: 77,
  /** A setting is wrong. */
  config: 78,
  /** This engine cannot do that. */
  unsupported: 78,
  /** `--wait-timeout` ran out. */
  timeout: 124,
  /** The engine was lost while waiting; the task goes on. */
  detached: 125,
} as const

export type ErrorCode = keyof typeof exitCodes

/**
 * An error whose message is meant for the user: one line that names the input and the remedy.
 * Anything else that reaches the top is a bug in tq and exits 70.
 */
export class TqError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = "TqError"
    this.code = code
  }

  get exitCode(): number {
    return exitCodes[this.code]
  }
}

/** Troubles with a store that end by themselves. */
export const isPassing = (error: unknown): error is TqError =>
  error instanceof TqError && (error.code === "unreachable" || error.code === "io" || error.code === "later")

export const exitCodeOf = (error: unknown): number =>
  error instanceof TqError ? error.exitCode : exitCodes.internal

/** What to say of any thrown value in one line, without its stack. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return reasonOf(error) ?? (error.message || error.name)
  if (typeof error === "string") return error
  try {
    return `thrown: ${String(error)}`
  } catch {
    // Handlers may throw anything, also an object that does not let itself be written as text.
    return "thrown: an object without a text"
  }
}

/** Of `ENOENT: no such file or directory, open '/x'`, the middle: the file is named by whoever tells of it. */
function reasonOf(error: NodeJS.ErrnoException): string | undefined {
  const { code, syscall, message } = error
  if (code === undefined || syscall === undefined || !message.startsWith(`${code}: `)) return undefined
  if (code === "EISDIR") return "it is a directory"
  return message.slice(code.length + 2).split(`, ${syscall}`, 1)[0]
}

/** For the default of an exhaustive switch: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new Error(`unexpected ${JSON.stringify(value)}`)
}
