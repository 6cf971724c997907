/** What runs on this machine, as /proc tells it. */
import { readdirSync, readFileSync } from "node:fs"

export interface Process {
  readonly pid: number
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly group: number
  readonly state: string
  readonly threads: number
  /** Resident, in MiB. */
  readonly memory: number
}

export function processes(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const found = processOf(Number(name))
      return found ? [found] : []
    })
}

/** Undefined when it is gone, or a zombie. */
export function processOf(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const [state = "", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    if (state === "Z" || state === "X") return undefined
    const status = readFileSync(`/proc/${pid}/status`, "utf8")
    return {
      pid,
      state,
      group: Number(group),
      threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1]),
      memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
      argv: readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1),
      environment: Object.fromEntries(
        readFileSync(`/proc/${pid}/environ`, "utf8")
          .split("\0")
          .filter((entry) => entry.includes("="))
          .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
      ),
    }
  } catch {
    return undefined
  }
}

export const isAlive = (pid: number): boolean => processOf(pid) !== undefined

/** How many files a process has open. */
export const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** The processes of a worker's runs, grandchildren included. */
export const runsOf = (workerId: string): number[] =>
  processes()
    .filter(({ environment }) => environment.TQ_WORKER_ID === workerId)
    .map(({ pid }) => pid)
