/** Prints lists of tasks. */
import { humanDuration } from "../core/duration.ts"
import type { Filter } from "../core/filter.ts"
import { attemptOf, type Status } from "../core/state.ts"
import { viewJson } from "../core/view.ts"
import type { Engine, StoredTask } from "../engine/engine.ts"
import type { Session } from "./session.ts"
import { type Column, Table } from "./table.ts"
import { isTerminal, LineWriter, type Style } from "./terminal.ts"

/** Rows on a terminal unless --limit says otherwise. */
const screenful = 50
const pageSize = 500

const statusStyles: Partial<Record<Status, Style>> = {
  running: "cyan",
  completed: "green",
  failed: "red",
  cancelled: "dim",
  blocked: "yellow",
  scheduled: "blue",
  waiting: "yellow",
}

export const statusStyle = (status: Status): Style | undefined => statusStyles[status]

function columnsFor(session: Session): Column<StoredTask>[] {
  const now = session.clock.now()
  return [
    { title: "ID", text: ({ record }) => record.id },
    { title: "STATUS", text: ({ state }) => state.status, style: ({ state }) => statusStyle(state.status) },
    { title: "QUEUE", text: ({ record }) => record.queue },
    { title: "NAME", text: ({ record }) => record.name },
    { title: "PRIORITY", text: ({ record }) => String(record.priority) },
    { title: "ATTEMPT", text: ({ state }) => (state.epoch === 0 ? "0" : String(attemptOf(state))) },
    {
      title: "AGE",
      text: ({ record }) => new Date(record.createdAt).toISOString(),
      human: ({ record }) => humanDuration(now - record.createdAt),
    },
    { title: "LABEL", text: ({ record }) => record.label ?? "" },
    {
      title: "REASON",
      text: ({ state }) =>
        state.status === "completed" ? "" : (state.failures.at(-1)?.message ?? state.reason ?? ""),
    },
  ]
}

/** Streams the tasks that match, newest first. @returns the exit code */
export async function printTasks(
  session: Session,
  engine: Engine,
  filter: Filter,
  limit: number | undefined,
): Promise<number> {
  const isHuman = isTerminal(1) && !session.json
  const most = limit ?? (isHuman ? screenful : Number.POSITIVE_INFINITY)
  const table = new Table(session, columnsFor(session))
  const json = new LineWriter(1)
  let printed = 0
  let cursor: string | undefined
  do {
    const page = await engine.list(filter, {
      limit: Math.min(pageSize, most - printed),
      ...(cursor !== undefined && { cursor }),
    })
    if (session.json) for (const task of page.tasks) json.line(viewJson(task))
    else if (page.tasks.length > 0) table.print(page.tasks)
    json.flush()
    printed += page.tasks.length
    cursor = page.cursor
  } while (cursor !== undefined && printed < most)
  if (printed === 0) session.talk(`no such tasks on ${session.location}`)
  else if (isHuman && limit === undefined && printed >= screenful) {
    const more = (await engine.count(filter)) - printed
    if (more > 0) session.printLine(`… ${more.toLocaleString("en")} more`)
  }
  return 0
}
