/**
 * The key file: one key a line, `#` comments. The first one signs; any of them verifies. So a key is changed without a
 * gap: add the new one below on every worker, move it to the top wherever tasks are pushed, then remove the old one.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs"
import { messageOf, TqError } from "./core/errors.ts"
import { type Key, keyOf, signCronTask, signTask } from "./core/signature.ts"
import type { Task } from "./core/task.ts"
import { isOwn, isWritableByOthers } from "./ownership.ts"

/** Random bytes as they come hold line feeds, and what is no text would be read differently elsewhere. */
const isPrintable = (secret: string): boolean => /^[\x20-\x7e]*$/.test(secret)

/** What a secret that nobody guesses needs at least. */
const shortest = 16
const longestFile = 1 << 16

/** Throws for a file that cannot be read, that others could read or write, or that has no good key in it. */
export function readKeys(path: string): readonly [Key, ...Key[]] {
  // Editors of other systems begin a file with a mark, which is no part of a key.
  const text = readSecret(path).replace(/^\ufeff/, "")
  const lines = text.split("\n").map((line) => line.trim())
  const secrets = lines.filter((line) => line !== "" && !line.startsWith("#"))
  const bad = secrets.find((secret) => secret.length < shortest || !isPrintable(secret))
  if (bad !== undefined) {
    const what = isPrintable(bad)
      ? `needs at least ${shortest} characters`
      : "is a line of letters and digits"
    throw new TqError(
      "config",
      `${path}:${lines.indexOf(bad) + 1}: a key ${what}: write one with openssl rand -hex 32`,
    )
  }
  const [first, ...more] = secrets.map(keyOf)
  if (!first) throw new TqError("config", `${path} holds no key: write one with openssl rand -hex 32`)
  return [first, ...more]
}

/** Signs whatever is pushed with the first key of the file. */
export function signerFrom(path: string, namespace: string): (task: Task) => Task {
  const [key] = readKeys(path)
  return (task) => signTask(task, namespace, key)
}

/** Signs what every tick of a schedule pushes, with the first key of the file. */
export function cronSignerFrom(path: string, namespace: string): (task: Task, cron: string) => Task {
  const [key] = readKeys(path)
  return (task, cron) => signCronTask(task, namespace, cron, key)
}

function readSecret(path: string): string {
  try {
    // Looked at is what was opened, whatever the name stands for by now; a pipe without a writer would hold the opening up.
    const file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    try {
      const stats = fstatSync(file)
      if (!stats.isFile()) throw new TqError("config", `the key file ${path} is no file`)
      if (!isOwn(stats)) throw new TqError("config", `the key file ${path} belongs to another user`)
      if ((stats.mode & 0o007) !== 0 || isWritableByOthers(stats)) {
        throw new TqError("config", `others may read or write the key file ${path}: chmod 600 ${path}`)
      }
      if (stats.size > longestFile) throw new TqError("config", `${path} is too long for a key file`)
      return readFileSync(file, "utf8")
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (error instanceof TqError) throw error
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT"
    throw new TqError(
      isMissing ? "missing" : "config",
      `cannot read the key file ${path}: ${messageOf(error)}`,
    )
  }
}
