/** Watches the runners of one pool: whether they answer, whether their jobs keep to their limits, how much memory they use. */
import type { Clock, Millis } from "../../core/clock.ts"
import type { Job } from "./job.ts"
import { Limits } from "./limits.ts"
import { cancelLine } from "./protocol.ts"
import type { Station } from "./station.ts"
import type { Stations } from "./stations.ts"

export interface VigilOptions {
  readonly stations: Stations
  readonly label: string
  /** Bytes of memory above which a runner is replaced. */
  readonly maxRss?: number
  readonly clock: Clock
  readonly remark: (message: string) => void
  /** A runner gets no more jobs. */
  readonly doubted: () => void
}

/** Seconds without an answer after which a runner gets nothing more, and a replacement. */
const doubtAfter = 10
/** … after which it is ended, if it has several jobs in flight: who of them blocks it will show. */
const giveUpAfter = 60
/** At a limit, a runner that has been silent for so many pings is blocked, and would not hear an abort signal. */
const blockedAfter = 2
const pingEvery: Millis = 1_000

export class Vigil {
  readonly limits: Limits
  readonly #options: VigilOptions
  #timer: Timer | undefined

  constructor(options: VigilOptions) {
    this.#options = options
    this.limits = new Limits({
      clock: options.clock,
      soft: (job) => job.station?.process.send(cancelLine(job.run, "soft limit")),
      hard: (job) => this.#strike(job),
      kill: (job) => this.#kill(job),
    })
  }

  start(): void {
    this.#timer = setInterval(() => this.#ping(), pingEvery)
  }

  close(): void {
    clearInterval(this.#timer)
    this.limits.close()
  }

  /** The hard limit: the abort signal first, if the runner can still hear it. */
  #strike(job: Job): void {
    const { station } = job
    if (!station) return
    const isBlocked = station.process.silence >= blockedAfter
    if (isBlocked && station.jobs.size > 1) {
      // Who of them blocks it will show when they run alone.
      station.process.kill()
      return
    }
    job.note("limit", this.#options.clock.mono())
    if (isBlocked) station.process.kill()
    else station.process.send(cancelLine(job.run, "limit"))
  }

  /** It did not heed the abort signal. A runner that still answers tells us that only this job is to blame. */
  #kill(job: Job): void {
    const { station } = job
    if (!station) return
    if (station.process.silence < blockedAfter || station.jobs.size === 1) station.culprit ??= job
    station.process.kill()
  }

  #ping(): void {
    const { stations, maxRss } = this.#options
    for (const station of stations.all) {
      station.process.ping()
      this.#lookAtBlocked(station)
      this.#lookAtSilence(station)
    }
    if (maxRss !== undefined) void this.#measure(maxRss)
  }

  #lookAtSilence(station: Station): void {
    const { silence, pid } = station.process
    if (silence < doubtAfter) {
      // Back again, with a replacement in its place: it finishes what it has.
      if (station.isDoubted && silence === 0) this.#options.stations.retire(station)
      return
    }
    if (!station.isDoubted) {
      const { stations, label, remark, doubted } = this.#options
      remark(`runner ${pid} (${label}) has answered nothing for ${silence} s: it gets no new tasks`)
      stations.doubt(station)
      doubted()
    }
    if (station.jobs.size === 0 || (silence >= giveUpAfter && station.jobs.size > 1)) station.process.kill()
  }

  /** One of several jobs is over its limit, and the abort signal cannot be heard. */
  #lookAtBlocked(station: Station): void {
    if (station.process.silence < blockedAfter || station.jobs.size < 2) return
    if ([...station.jobs.values()].some(({ cancelled }) => cancelled === "limit")) station.process.kill()
  }

  async #measure(most: number): Promise<void> {
    const { stations, remark, label } = this.#options
    for (const station of [...stations.all]) {
      const bytes = await residentBytes(station.process.pid)
      if (bytes <= most || station.isRetiring) continue
      const used = `${Math.round(bytes / 2 ** 20)} MiB`
      remark(`runner ${station.process.pid} (${label}) uses ${used}: it is replaced`)
      stations.retire(station)
    }
  }
}

/** From /proc/PID/status (proc(5)); 0 where there is none. */
async function residentBytes(pid: number): Promise<number> {
  try {
    const status = await Bun.file(`/proc/${pid}/status`).text()
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
