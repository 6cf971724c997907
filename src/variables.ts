/** Settings in the environment. `TQ_URL` and the like are read where the option is; these stand for what is otherwise in a tq.toml. */
import { nearest } from "./core/nearest.ts"
import { type FileSettings, readSettings } from "./settings.ts"

type Environment = Readonly<Record<string, string | undefined>>

const inFiles: Readonly<Record<string, (text: string) => unknown>> = {
  TQ_CONCURRENCY: (text) => ({ worker: { concurrency: Number(text) } }),
  TQ_GRACE: (text) => ({ worker: { grace: text } }),
  TQ_PAYLOAD_LIMIT: (text) => ({ payloadLimit: text }),
  TQ_DURABILITY: (text) => ({ durability: text }),
}

const others = ["TQ_URL", "TQ_STORE", "TQ_NAMESPACE", "TQ_PASSWORD_FILE", "TQ_KEY_FILE"]

/** Each variable that is set, as if it were a file of its own. Throws `config` for a value that makes no sense. */
export function settingsIn(env: Environment): { readonly path: string; readonly settings: FileSettings }[] {
  return Object.entries(inFiles).flatMap(([name, parsed]) => {
    const text = env[name]
    return text ? [{ path: name, settings: readSettings(parsed(text), name) }] : []
  })
}

/** A line for each variable that looks like a misspelt setting. */
export function misspeltIn(env: Environment): string[] {
  const known = [...Object.keys(inFiles), ...others]
  return Object.keys(env).flatMap((name) => {
    const guess = name.startsWith("TQ_") && !known.includes(name) ? nearest(name, known) : undefined
    return guess === undefined ? [] : [`${name} is no setting: did you mean ${guess}?`]
  })
}
