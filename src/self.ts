/** How this program starts itself again: as the compiled executable, or from its sources. */
import { basename } from "node:path"

export function selfCommand(): string[] {
  const script = process.argv[1]
  const isCompiled = script === undefined || script.startsWith("/$bunfs/") || script.startsWith("B:\\~BUN\\")
  return isCompiled || basename(process.execPath) !== "bun" ? [process.execPath] : [process.execPath, script]
}
