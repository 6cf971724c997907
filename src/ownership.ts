/** Who else can write to a file that decides what runs here. */
import type { Stats } from "node:fs"

/** Whether anybody but its owner, root, and the members of our own primary group can write to it. */
export function isWritableByOthers(file: Stats): boolean {
  if ((file.mode & 0o002) !== 0) return true
  return (file.mode & 0o020) !== 0 && file.gid !== process.getegid?.()
}

/** Whether it is ours or root's. */
export function isOwn(file: Stats): boolean {
  const self = process.geteuid?.()
  return self === undefined || file.uid === self || file.uid === 0
}
