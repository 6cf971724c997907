/** Where a flow comes from that somebody names on the command line. */
import { existsSync } from "node:fs"
import type { Session } from "../cli/session.ts"
import { TqError } from "../core/errors.ts"
import type { Document } from "./document.ts"
import { describeComplaint, readFlowFile } from "./yaml.ts"

/** Reads a flow file. What is wrong in it is told line by line, and then an error. */
export function loadFlow(session: Session, file: string): Document {
  if (!existsSync(file)) throw new TqError("missing", `no flow file ${file}`)
  const read = readFlowFile(file)
  if (!read.complaints) return read.document
  for (const complaint of read.complaints) session.warn(describeComplaint(complaint))
  const { length } = read.complaints
  throw new TqError(
    "data",
    `${file} is no flow: ${length} ${length === 1 ? "thing is" : "things are"} wrong in it`,
  )
}
