/** What `push` says when nobody will run a task. */
import { type Audience, type Gap, gapFor, type Subject } from "../core/audience.ts"
import { unreachable } from "../core/errors.ts"
import { isObject } from "../core/json.ts"
import { signingKeyOf } from "../core/signature.ts"
import type { Task } from "../core/task.ts"

/** @returns one line, or undefined when a live worker will run it */
export function noticeFor(task: Task, audiences: readonly Audience[], location: string): string | undefined {
  const gap = gapFor(subjectOf(task), audiences)
  return gap && wordsFor(gap, task, location)
}

/** What a worker must serve, have and be permitted to run it. */
export function subjectOf(task: Task): Subject {
  const signedWith = signingKeyOf(task)
  return {
    queue: task.queue,
    name: task.name,
    isCommand: task.command !== undefined,
    ...(isConducted(task) && { isConducted: true }),
    ...(signedWith !== undefined && { signedWith }),
  }
}

/** A run, and the steps that only wait for others or for a decision. */
function isConducted({ plan, step }: Task): boolean {
  const kind = isObject(step?.work) ? step.work.kind : undefined
  return plan !== undefined || step?.map !== undefined || kind === "approve"
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
      return `no worker on queue ${JSON.stringify(task.queue)} may run commands on ${location}: start one with --allow-commands, or sign it with --key-file`
    case "no worker takes it unsigned":
      return `the workers on queue ${JSON.stringify(task.queue)} take only signed tasks on ${location}: push with --key-file`
    case "no worker holds its key":
      return `no worker on queue ${JSON.stringify(task.queue)} holds the key that signed it on ${location}`
    default:
      return unreachable(gap)
  }
}
