/** Whether this worker may run a task: by whose word it is there. What it can run is the repertoire's matter. */
import type { Audience } from "../core/audience.ts"
import type { Millis } from "../core/clock.ts"
import { unreachable } from "../core/errors.ts"
import { type Key, signingKeyOf, signTask, verify } from "../core/signature.ts"
import type { Task } from "../core/task.ts"

export interface Permission {
  readonly namespace: string
  /** Those that verify. */
  readonly keys: readonly Key[]
  /** Commands need no signature: the store is this user's alone, or `--allow-commands` says so. */
  readonly commands: boolean
  /** `--require-signature`: nothing runs without. */
  readonly signedOnly: boolean
}

/** `unserved`: another worker may be permitted. `forged`: none should be. */
export type Refusal = { readonly kind: "unserved" | "forged"; readonly message: string }

/** @returns undefined when it may run */
export function refusalOf(
  task: Task,
  { namespace, keys, commands, signedOnly }: Permission,
  now: Millis,
): Refusal | undefined {
  const isOpen = !signedOnly && (commands || !task.command)
  // Without keys nothing can be said of a signature.
  if (keys.length === 0) return isOpen ? undefined : unserved("no worker may run command tasks")
  const verdict = verify(task, namespace, keys, now)
  switch (verdict) {
    case "valid":
      return undefined
    case "forged":
      return {
        kind: "forged",
        message: `its signature is wrong: the holder of key ${signingKeyOf(task)} did not push it so`,
      }
    case "expired":
      return { kind: "forged", message: "its signature held until it expired: push it again" }
    case "unsigned":
      return isOpen ? undefined : unserved(unsigned(task, signedOnly))
    case "unknown key":
      return isOpen ? undefined : unserved(`no worker holds the key ${signingKeyOf(task)} that signed it`)
    default:
      return unreachable(verdict)
  }
}

/**
 * For the tasks that a task spawns by its own plan: they carry its authority on, signed with a key of this worker.
 * @returns undefined when `parent` has none, or there are no keys
 */
export function heirSigner(
  parent: Task,
  { namespace, keys }: Permission,
  now: Millis,
): ((child: Task) => Task) | undefined {
  const [key] = keys
  if (!key || verify(parent, namespace, keys, now) !== "valid") return undefined
  return (child) => signTask(child, namespace, key)
}

/** What producers are told of it. */
export const audienceOf = ({
  keys,
  commands,
  signedOnly,
}: Permission): Omit<Audience, "queues" | "handlers"> => ({
  commands,
  ...(keys.length > 0 && { keys: keys.map(({ id }) => id) }),
  ...(signedOnly && { signedOnly }),
})

const unserved = (message: string): Refusal => ({ kind: "unserved", message })

const unsigned = (task: Task, signedOnly: boolean): string =>
  task.command && !signedOnly
    ? "no worker may run command tasks that are not signed"
    : "no worker may run tasks that are not signed"
