/** Tasks that will not run as things are: nobody serves their queue, whoever does gave them back, or they cannot be read. */
import { counted } from "../core/counted.ts"
import { humanDuration } from "../core/duration.ts"
import type { Engine, Finding, QueueInfo, WorkerView } from "../engine/engine.ts"

/** Without a beat for this long, a worker should have been taken for dead. */
const longSilence = 60_000

export async function examineTasks(engine: Engine, version: string): Promise<Finding[]> {
  const workers = await engine.workers()
  const queues = await engine.queues()
  const relocation = engine.supports.move ? await engine.relocation() : undefined
  return [
    ...(relocation ? [moved(relocation.to, relocation.isDone)] : []),
    ...workersOf(workers, version),
    ...(engine.supports.lookup ? [await unreadable(engine)] : []),
    ...queues.flatMap((queue) => unserved(queue, workers)),
  ]
}

/** Failed tasks looked at, the newest first. */
const looked = 500

async function unreadable(engine: Engine): Promise<Finding> {
  const about = "records"
  const { tasks } = await engine.list({ status: ["failed"] }, { limit: looked })
  const count = tasks.filter(({ state }) => state.reason === "quarantined").length
  if (count === 0) return { about, verdict: "fine", text: "none in quarantine" }
  return {
    about,
    verdict: "doubtful",
    text: `in quarantine, because this tq cannot read it: ${counted(count, "task")}`,
    remedy: "tq dead list names them; retry them with the tq that wrote them, or tq dead purge",
  }
}

const moved = (to: string, isDone: boolean): Finding =>
  isDone
    ? { about: "moved", verdict: "wrong", text: `the tasks were moved to ${to}`, remedy: "use that URL" }
    : {
        about: "moved",
        verdict: "wrong",
        text: `a move to ${to} was interrupted: the store takes nothing new`,
        remedy: `tq move --to ${to} goes on, tq move --abort gives it up`,
      }

function workersOf(workers: readonly WorkerView[], version: string): Finding[] {
  const about = "workers"
  if (workers.length === 0) {
    return [{ about, verdict: "doubtful", text: "none lives here", remedy: "start one: tq work" }]
  }
  const silent = workers.filter(({ silentFor }) => silentFor > longSilence)
  const other = workers.filter((worker) => worker.version !== version)
  return [
    { about, verdict: "fine", text: `${workers.length} live here` },
    ...silent.map(
      ({ name, host, silentFor }): Finding => ({
        about,
        verdict: "doubtful",
        text: `${name} on ${host} has been silent for ${humanDuration(silentFor)}`,
        remedy: "see whether it is suspended, or its machine overloaded",
      }),
    ),
    ...other.map(
      (worker): Finding => ({
        about,
        verdict: "doubtful",
        text: `${worker.name} is tq ${worker.version}, this is ${version}`,
        remedy: "let all workers be of one version once the roll-out is over",
      }),
    ),
  ]
}

function unserved({ queue, counts, paused, unserved }: QueueInfo, workers: readonly WorkerView[]): Finding[] {
  const about = `queue ${queue}`
  const waiting = counts.pending + counts.scheduled + counts.blocked + counts.waiting
  const findings: Finding[] = []
  if (waiting > 0 && paused) {
    findings.push({
      about,
      verdict: "doubtful",
      text: `it is paused, and ${counted(waiting, "task")} wait${waiting === 1 ? "s" : ""}`,
      remedy: `tq queue resume ${queue}`,
    })
  }
  const isServed = workers.some(({ queues }) => queues.includes("*") || queues.includes(queue))
  if (waiting > 0 && !isServed) {
    findings.push({
      about,
      verdict: "wrong",
      text: `no live worker serves it, and ${counted(waiting, "task")} wait${waiting === 1 ? "s" : ""}`,
      remedy: `tq work -q ${queue}`,
    })
  }
  if (unserved > 0) {
    findings.push({
      about,
      verdict: "wrong",
      text: `no worker may or can run ${counted(unserved, "task")} of it`,
      remedy: `tq list -q ${queue} --status scheduled names them, tq show says why`,
    })
  }
  return findings
}
