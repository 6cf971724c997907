/** The task's end of its worker's socket (socket.ts): `tq progress` and `tq later`. */
import type { Session } from "../cli/session.ts"
import type { Millis } from "../core/clock.ts"
import { TqError } from "../core/errors.ts"
import type { Progress } from "../core/state.ts"

/** A worker that does not answer within this must not hold the task up. */
const patience: Millis = 2_000

/** Tells the worker, and says on stderr when nobody answers: the task goes on either way. */
export async function tellWorker(
  session: Session,
  message: { progress: Progress } | { later: Millis },
): Promise<void> {
  const { TQ_SOCKET: path, TQ_TASK_ID: task } = session.env
  if (!path || !task) throw new TqError("usage", "not inside a task: TQ_SOCKET and TQ_TASK_ID are not set")
  const answer = await ask(path, `${JSON.stringify({ task, ...message })}\n`)
  if (session.json) session.printLine(JSON.stringify({ task, told: answer === true }))
  if (answer === undefined) session.talk("the worker does not answer: nothing was told")
  else if (!answer) session.talk("the worker no longer runs this task: nothing was told")
}

/** @returns whether it was heeded; undefined when nobody answered */
async function ask(path: string, line: string): Promise<boolean | undefined> {
  const { promise, resolve } = Promise.withResolvers<boolean | undefined>()
  const timer = setTimeout(() => resolve(undefined), patience)
  const unanswered = () => resolve(undefined)
  Bun.connect({
    unix: path,
    socket: {
      open: (socket) => {
        socket.write(line)
      },
      data: (socket, bytes) => {
        resolve(bytes.toString().includes('"ok":true'))
        socket.end()
      },
      close: unanswered,
      error: unanswered,
      connectError: unanswered,
    },
  }).catch(unanswered)
  const answer = await promise
  clearTimeout(timer)
  return answer
}
