/** Who runs this process, and where the users of this machine are at home. */
import { existsSync, readFileSync } from "node:fs"
import { userInfo } from "node:os"

interface User {
  readonly name: string
  readonly uid: number
  readonly home: string
}

/** The name that belongs to the user id. USER says it too, but `su` leaves another's in it, and services have none. */
export function userName(): string {
  const uid = process.getuid?.()
  const own = localUsers().find((user) => user.uid === uid)
  // The users of a directory service, and of macOS, are in no file.
  return own?.name ?? process.env.USER ?? (uid === undefined ? userInfo().username : String(uid))
}

export const passwdHomes = (): ReadonlyMap<string, string> =>
  new Map(localUsers().flatMap(({ name, home }) => (home ? [[name, home] as const] : [])))

function localUsers(): User[] {
  if (!existsSync("/etc/passwd")) return []
  return readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [name, , uid, , , home = ""] = line.split(":")
      return name && uid ? [{ name, uid: Number(uid), home }] : []
    })
}
