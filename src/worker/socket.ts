/**
 * The socket at which a task reaches its worker (`TQ_SOCKET`): `tq progress` and `tq later`. One line of JSON in, one out, in a
 * folder that only this user may enter.
 *
 *     {"task":"01J…","progress":{"fraction":0.5,"message":"half"}}   → {"ok":true}
 *     {"task":"01J…","later":30000}                                  → {"ok":true}
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { UnixSocketListener } from "bun"
import type { Millis } from "../core/clock.ts"
import { messageOf } from "../core/errors.ts"
import type { TaskId } from "../core/id.ts"
import { isObject } from "../core/json.ts"
import type { Progress } from "../core/state.ts"

/** @returns whether the task runs here */
export interface SocketListener {
  progress(task: TaskId, progress: Progress): boolean
  later(task: TaskId, delay: Millis): boolean
}

/** No message of ours is longer. */
const longestLine = 8_192

/** Without a folder for temporary files the worker does without: `tq progress` then says that nobody answers. */
export function openSocket(
  listener: SocketListener,
  remark: (message: string) => void,
): TaskSocket | undefined {
  try {
    return new TaskSocket(listener)
  } catch (error) {
    remark(`tasks cannot tell their progress here: ${messageOf(error)}`)
    return undefined
  }
}

export class TaskSocket {
  readonly path: string
  readonly folder: string
  readonly #server: UnixSocketListener<{ buffered: string }>

  constructor(listener: SocketListener) {
    // mkdtemp makes the folder 0700. The path must stay under the 108 bytes of sun_path (unix(7)).
    this.folder = mkdtempSync(join(tmpdir(), "tq-"))
    this.path = join(this.folder, "socket")
    try {
      this.#server = listen(this.path, listener)
    } catch (error) {
      rmSync(this.folder, { recursive: true, force: true })
      throw error
    }
  }

  close(): void {
    this.#server.stop(true)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const listen = (path: string, listener: SocketListener): UnixSocketListener<{ buffered: string }> =>
  Bun.listen<{ buffered: string }>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { buffered: "" }
      },
      data(socket, bytes) {
        const lines = (socket.data.buffered + bytes.toString()).split("\n")
        socket.data.buffered = lines.pop() ?? ""
        for (const line of lines) socket.write(`${JSON.stringify({ ok: heed(listener, line) })}\n`)
        if (socket.data.buffered.length > longestLine) socket.end()
      },
    },
  })

function heed(listener: SocketListener, line: string): boolean {
  let message: unknown
  try {
    message = JSON.parse(line)
  } catch {
    return false
  }
  if (!isObject(message) || typeof message.task !== "string") return false
  if (isBetween(message.later, 0, Number.MAX_SAFE_INTEGER)) return listener.later(message.task, message.later)
  const { progress } = message
  if (!isObject(progress) || !isBetween(progress.fraction, 0, 1)) return false
  const text = typeof progress.message === "string" ? progress.message : undefined
  return listener.progress(message.task, {
    fraction: progress.fraction,
    ...(text !== undefined && { message: text }),
  })
}

const isBetween = (value: unknown, low: number, high: number): value is number =>
  typeof value === "number" && value >= low && value <= high
