/**
 * Blame only what ran alone: when a runner goes down with several jobs in flight, all of them run again one at a time in runners of
 * their own, and only a job that takes such a one down is charged. When a runner is ended because of a job that is known (it
 * ignored its limit while the runner still answered), that one is judged and the others begin anew where they were.
 */

import { unreachable } from "../../core/errors.ts"
import type { TaskId } from "../../core/id.ts"
import type { Ending } from "../../core/transition.ts"
import type { Job } from "./job.ts"
import type { Station } from "./station.ts"

const mostRemembered = 1_000

export class Blame {
  /** Tasks that took a runner down alone: they do it again, and not to others. */
  readonly #crashed = new Set<TaskId>()

  isKnown({ task }: Job): boolean {
    return this.#crashed.size > 0 && this.#crashed.has(task.id)
  }

  /**
   * Judges the jobs of a runner that is gone. @returns those that begin anew
   * @param why as the failure tells it
   */
  judge(jobs: readonly Job[], station: Station, why: string): Job[] {
    const wasAlone = jobs.length === 1
    return jobs.filter((job) => {
      const ending = this.#endingOf(job, wasAlone || station.culprit === job, why)
      if (ending) {
        job.end(ending)
        return false
      }
      job.startOver()
      job.isSuspect ||= station.culprit === undefined
      return true
    })
  }

  /** @returns undefined for a job that begins anew */
  #endingOf(job: Job, isToBlame: boolean, why: string): Ending | undefined {
    switch (job.cancelled) {
      case "stop":
      case "cancelled":
        return { kind: "returned", started: true }
      case "limit":
        return isToBlame || job.policy.once ? job.timedOut() : undefined
      case "soft limit":
      case undefined:
        if (isToBlame) {
          this.#remember(job.task.id)
          return job.crashed(why)
        }
        return job.isStopping || job.policy.once ? { kind: "returned", started: true } : undefined
      default:
        return unreachable(job.cancelled)
    }
  }

  #remember(id: TaskId): void {
    this.#crashed.add(id)
    if (this.#crashed.size > mostRemembered) this.#crashed.delete(this.#crashed.values().next().value!)
  }
}
