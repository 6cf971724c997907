/** Tests run as root; permissions are for others. */

/** nobody of nogroup, by number: no passwd entry is needed. */
export const stranger = 65534

/** Runs a command as somebody else, without root's capabilities. Needs setpriv(1) of util-linux. */
export function as(user: number, argv: readonly string[]): string[] {
  if (process.getuid?.() !== 0) throw new Error("this test must run as root: it becomes other users")
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", ...argv]
}
