/** Where a flow comes from that somebody names on the command line: a YAML file, a handler file, or a live worker. */
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import type { Session } from "../cli/session.ts"
import { messageOf, TqError } from "../core/errors.ts"
import { readPlan } from "../core/flow.ts"
import { isObject } from "../core/json.ts"
import { nearest } from "../core/nearest.ts"
import { leastUrgent } from "../core/priority.ts"
import type { FlowDocument } from "./document.ts"
import { refuseWithoutFlows } from "./look.ts"
import { describeComplaint, type Read, readFlowFile } from "./yaml.ts"

/** `tasks.ts`, `tasks.ts:process-data`. */
const handlerFile = /^(.+\.(?:[cm]?[jt]s|[jt]sx))(?::([^/]+))?$/

export const isFlowFile = (named: string): boolean =>
  handlerFile.test(named) || named.includes("/") || existsSync(named) || /\.ya?ml$/.test(named)

/** Throws for what is not there, and for what is no flow after having said why, line by line. */
export async function loadFlow(session: Session, named: string): Promise<FlowDocument> {
  if (!isFlowFile(named)) return fromWorkers(session, named)
  const [, module, name] = handlerFile.exec(named) ?? []
  return module === undefined ? fromYaml(session, named) : fromModule(module, name)
}

/** For `tq flow check`: a handler file says no more than its first mistake, and where it can, the place. */
export async function readAny(file: string): Promise<Read> {
  const [, module, name] = handlerFile.exec(file) ?? []
  if (module === undefined) return readFlowFile(file)
  try {
    return { document: await fromModule(module, name) }
  } catch (error) {
    if (!(error instanceof TqError) || error.code !== "data") throw error
    return { complaints: [{ file, line: 1, column: 1, message: error.message }] }
  }
}

function fromYaml(session: Session, file: string): FlowDocument {
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

/** Loads the file as a worker would. */
async function fromModule(file: string, name: string | undefined): Promise<FlowDocument> {
  if (!existsSync(file)) throw new TqError("missing", `no flow file ${file}`)
  const { provideModule } = await import("../run/runner/module.ts")
  const { documents } = await import("../sdk/workflow.ts")
  let found: FlowDocument[]
  try {
    provideModule()
    await import(resolve(file))
    found = documents()
  } catch (error) {
    throw new TqError("data", `${file}: ${messageOf(error)}`)
  }
  return chosen(found, file, name)
}

function chosen(found: readonly FlowDocument[], file: string, name: string | undefined): FlowDocument {
  const names = found.map(({ plan }) => plan.name)
  if (name === undefined && found.length > 1) {
    throw new TqError("usage", `${file} defines ${names.join(", ")}: name one as ${file}:${names[0]}`)
  }
  const one = name === undefined ? found[0] : found.find(({ plan }) => plan.name === name)
  if (one) return one
  const remedy = names.length > 0 ? `it defines ${names.join(", ")}` : "no workflow() is in it"
  throw new TqError("missing", `no flow ${name ?? ""} in ${file}: ${remedy}`.replace("  ", " "))
}

async function fromWorkers(session: Session, name: string): Promise<FlowDocument> {
  const engine = await session.engine()
  refuseWithoutFlows(engine)
  const known = (await engine.workers()).flatMap(({ flows = [] }) => flows.filter(isDocument))
  const found = known.find(({ plan }) => plan.name === name)
  if (found) return { ...found, plan: readPlan(found.plan) }
  const guess = nearest(name, namesOf(known))
  const remedy = guess ? `did you mean ${guess}?` : "name its file, or start a worker with it"
  throw new TqError("missing", `no live worker on ${engine.location} has a flow ${name}: ${remedy}`)
}

/** What workers say of themselves comes from the store, and may be anybody's. */
function isDocument(value: unknown): value is FlowDocument {
  if (!isObject(value) || !isObject(value.plan)) return false
  const { queue, priority } = value
  const isPriority = (level: unknown) =>
    Number.isInteger(level) && (level as number) >= 0 && (level as number) <= leastUrgent
  return (
    (queue === undefined || typeof queue === "string") && (priority === undefined || isPriority(priority))
  )
}

export const namesOf = (flows: readonly unknown[]): string[] =>
  flows.flatMap((flow) => (isDocument(flow) ? [flow.plan.name] : []))
