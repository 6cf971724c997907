/**
 * Signatures: how a worker knows that a task was pushed by somebody who holds its key, and not by whoever else can write to the
 * store.
 *
 * HMAC-SHA256 over what decides which code runs with which input: namespace, id, name, queue, payload, args, command (argv, cwd,
 * env, stdin), createdAt and expiresAt. Every text goes in with its length in front and every list with its count, so that no
 * two tasks have one encoding. What a store may change for good reasons (priority, runAt) is not covered.
 *
 *     task1:KEY:UNTIL:MAC   signed by whoever pushed it
 *     cron1:KEY::MAC        signed by whoever added the schedule; its ticks differ in id and times, so these are not covered, and
 *                           instead the schedule's name is: it holds only for ids `cron:NAME:REVISION:TICK`
 *
 * KEY is a short id of the key, which tells "signed with a key that I do not hold" from "forged". UNTIL repeats expiresAt, since
 * a task that is retried by hand has none any more: such a one holds until then, and not for ever.
 */
import type { Millis } from "./clock.ts"
import type { TaskId } from "./id.ts"
import type { Command, Task } from "./task.ts"

export interface Key {
  /** Says nothing about the secret. */
  readonly id: string
  readonly secret: string
}

/** `unknown key`: it may well be right, but not for us to say. */
export type Verdict = "valid" | "unsigned" | "unknown key" | "forged" | "expired"

type Kind = "task1" | "cron1"
type Part = string | Uint8Array

export const keyOf = (secret: string): Key => ({ id: macOf(secret, ["tq key id"]).slice(0, 12), secret })

/** @returns the task as it must be pushed: its `expiresAt` is an instant, since a store gives back no other */
export function signTask(task: Task, namespace: string, key: Key): Task {
  const { expiresAt, createdAt } = task
  const until = expiresAt && { at: "at" in expiresAt ? expiresAt.at : createdAt + expiresAt.in }
  const fixed = { ...task, ...(until && { expiresAt: until }) }
  return {
    ...fixed,
    signature: signatureOf("task1", key, until ? String(until.at) : "", partsOfTask(task, namespace)),
  }
}

/** Signs what each tick of a schedule pushes; the ids and times are still open. */
export function signCronTask(task: Task, namespace: string, cron: string, key: Key): Task {
  return { ...task, signature: signatureOf("cron1", key, "", partsOfCron(task, namespace, cron)) }
}

export function verify(task: Task, namespace: string, keys: readonly Key[], now: Millis): Verdict {
  if (task.signature === undefined) return "unsigned"
  const [kind, keyId, until = ""] = task.signature.split(":")
  const key = keys.find(({ id }) => id === keyId)
  if (!key) return "unknown key"
  const parts = kind === "cron1" ? partsOfTick(task, namespace) : partsOfTask(task, namespace)
  if (!parts || (kind !== "task1" && kind !== "cron1")) return "forged"
  if (!isEqual(task.signature, signatureOf(kind, key, until, parts))) return "forged"
  if (kind === "cron1") return "valid"
  if (task.expiresAt)
    return "at" in task.expiresAt && String(task.expiresAt.at) === until ? "valid" : "forged"
  return until !== "" && now > Number(until) ? "expired" : "valid"
}

/** Which key it says it is signed with. */
export const signingKeyOf = (task: { readonly signature?: string }): string | undefined =>
  task.signature?.split(":")[1]

const signatureOf = (kind: Kind, key: Key, until: string, parts: readonly Part[]): string =>
  `${kind}:${key.id}:${until}:${macOf(key.secret, [`${kind}\n`, ...text(until), ...parts])}`

const partsOfTask = (task: Task, namespace: string): readonly Part[] => [
  ...text(namespace),
  ...text(task.id),
  ...subject(task),
  ...text(String(task.createdAt)),
]

const partsOfCron = (task: Task, namespace: string, cron: string): readonly Part[] => [
  ...text(namespace),
  ...text(cron),
  ...subject(task),
]

function partsOfTick(task: Task, namespace: string): readonly Part[] | undefined {
  const cron = cronOf(task.id)
  return cron === undefined ? undefined : partsOfCron(task, namespace, cron)
}

/** The schedule that a tick's id names. */
const cronOf = (id: TaskId): string | undefined => /^cron:(.+):\d+:\d+$/.exec(id)?.[1]

const subject = ({ name, queue, payload, args, command, plan, step }: Task): readonly Part[] => [
  ...text(name),
  ...text(queue),
  ...text(payload),
  ...list(args),
  ...(command ? partsOfCommand(command) : absent),
  ...text(plan && JSON.stringify(plan)),
  ...text(step && JSON.stringify(step)),
]

function partsOfCommand({ argv, cwd, env, stdin }: Command): readonly Part[] {
  const variables = env && Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))
  return [...list(argv), ...text(cwd), ...list(variables?.flat()), ...text(stdin)]
}

const absent = ["-"] as const

const text = (value: string | Uint8Array | undefined): readonly Part[] =>
  value === undefined
    ? absent
    : [`${typeof value === "string" ? Buffer.byteLength(value) : value.byteLength}:`, value]

const list = (values: readonly string[] | undefined): readonly Part[] =>
  values === undefined ? absent : [`[${values.length}:`, ...values.flatMap(text)]

function macOf(secret: string, parts: readonly Part[]): string {
  const mac = new Bun.CryptoHasher("sha256", secret)
  for (const part of parts) mac.update(part)
  return mac.digest("hex")
}

/** In a time that does not tell where they differ. */
function isEqual(a: string, b: string): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at)
  return difference === 0
}
