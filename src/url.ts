/**
 * URLs of engines as text: made absolute, stripped of their passwords, told in messages. What they mean is each engine's own
 * affair (its `location.ts`).
 */
import { resolve } from "node:path"

/** Parameters of URLs that name files. */
const fileParameters = /([?&](?:ca|cert|key|sentinel-password-file)=)(?!\/|&|$)([^&]+)/g

/** The URL with relative paths made absolute: of a SQLite file, a socket, certificates. */
export const anchorUrl = (url: string, folder: string): string =>
  url
    .replace(
      /^(sqlite|unix):(?!\/)([^?]+)/i,
      (_, scheme: string, path: string) => `${scheme}:${resolve(folder, path)}`,
    )
    .replace(fileParameters, (_, name: string, path: string) => `${name}${resolve(folder, path)}`)

interface Credentials {
  /** `redis://user` */
  readonly before: string
  readonly password: string
  /** `host/0` */
  readonly after: string
}

/** Takes a password for what it is even where its special characters were not percent-encoded. */
function credentialsIn(url: string): Credentials | undefined {
  const [, before, password, after] = /^([a-z][a-z0-9+]*:\/\/[^/:@]*):(.*)@(.*)$/is.exec(url) ?? []
  if (before === undefined || password === undefined || after === undefined) return undefined
  // The colon of a port, and the @ of a parameter: redis://host:6379?ca=/etc/a@b
  const isPort = /^\d+(?:[,/][^@?]*)?\?[a-z-]+=/.test(password)
  return isPort ? undefined : { before, password, after }
}

export const hasPassword = (url: string): boolean => credentialsIn(url) !== undefined

/** For messages: without its password. */
export function redactUrl(url: string): string {
  const found = credentialsIn(url)
  const shown = found ? `${found.before}:***@${found.after}` : url
  return shown.replace(/([?&]password=)[^&]*/gi, "$1***")
}

/** A URL that others may read, and the password that was in it. */
export function withoutPassword(url: string): { readonly url: string; readonly password?: string } {
  const found = credentialsIn(url)
  if (!found) return { url }
  const { before, password, after } = found
  return {
    url: before.endsWith("//") ? before + after : `${before}@${after}`,
    password: percentDecoded(password),
  }
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
