/** Passwords that others on this machine can read. */
import { statSync } from "node:fs"
import type { Config } from "../config.ts"
import type { Finding } from "../engine/engine.ts"
import { hasPassword } from "../url.ts"

export function examineSecrets({ url, store, passwordFile, keyFile }: Config): Finding[] {
  const files = new Set<string>()
  for (const { value, origin } of [url, store]) {
    if (value !== undefined && hasPassword(value) && origin.startsWith("/")) files.add(origin)
  }
  for (const { value } of [passwordFile, keyFile]) if (value !== undefined) files.add(value)
  return [...files].filter(isReadableByOthers).map((path) => ({
    about: "secrets",
    verdict: "wrong",
    text: `${path} holds a secret, and others can read it`,
    remedy: `chmod 600 ${path}`,
  }))
}

function isReadableByOthers(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false })
  return file !== undefined && (file.mode & 0o044) !== 0
}
