// What a Celery app usually begins with, as TypeScript tasks for tq.
//
//     tq work process_task.ts
//     tq push process_task '{"id":"42"}' --wait --wait-timeout 10s        delay() and get(timeout=10)
//     tq push long_task '{"steps":20}'; tq show ID                        its progress
//
// Queue, limits and retries stand with the task, as in a Celery app; what a push says wins.
import { NoRetry, task } from "tq"

const limits = { timeout: "300s", softTimeout: "240s" } as const

export const processTask = task(
  { name: "process_task", maxRetries: 3, backoff: "5s", ...limits },
  async (input: { id: string; fail?: number; seconds?: number }, ctx) => {
    if (typeof input?.id !== "string") throw new NoRetry("the payload needs an id")
    console.log(`attempt ${ctx.attempt} for ${input.id}`)
    if (ctx.attempt <= (input.fail ?? 0)) throw new Error("the service does not answer")
    try {
      await sleep((input.seconds ?? 0) * 1_000, ctx.signal)
    } catch {
      // The soft limit: clean up here. To return counts as success; to throw would be retried.
      return { id: input.id, status: "stopped early" }
    }
    return { id: input.id, status: "completed" }
  },
)

export const longTask = task({ name: "long_task", ...limits }, async (input: { steps: number }, ctx) => {
  for (let step = 1; step <= input.steps; step++) {
    await sleep(100, ctx.signal)
    await ctx.progress(step / input.steps, `step ${step} of ${input.steps}`)
    await ctx.putStream(`${step}\n`)
  }
  return { steps: input.steps }
})

/** Rejects as soon as the signal is aborted: by a limit, a cancel, a worker that stops. */
function sleep(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, millis)
    signal.addEventListener("abort", () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}
