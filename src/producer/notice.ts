/** What `push` says when nobody will run a task. */
import { type Audience, type Gap, gapFor } from "../core/audience.ts"
import { unreachable } from "../core/errors.ts"
import type { Task } from "../core/task.ts"

/** @returns one line, or undefined when a live worker will run it */
export function noticeFor(task: Task, audiences: readonly Audience[], location: string): string | undefined {
  const gap = gapFor({ queue: task.queue, name: task.name, isCommand: task.command !== undefined }, audiences)
  return gap && wordsFor(gap, task, location)
}

function wordsFor(gap: Gap, task: Task, location: string): string {
  switch (gap) {
    case "no worker":
      return `no worker is running on ${location}: start one with tq work`
    case "no worker serves the queue":
      return `no worker serves queue ${JSON.stringify(task.queue)} on ${location}`
    case "no worker has the handler":
      return `no worker on queue ${JSON.stringify(task.queue)} has a handler for ${task.name} on ${location}`
    case "no worker may run commands":
      return `no worker on queue ${JSON.stringify(task.queue)} may run commands on ${location}: start one with --allow-commands`
    default:
      return unreachable(gap)
  }
}
