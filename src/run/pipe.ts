/**
 * Real pipes for the output of runs. `stdout: "pipe"` of Bun.spawn gives the child a socket, on which `echo … > /dev/stderr`, as
 * shell scripts write it, fails with ENXIO ("No such device or address", open(2)). Node's child_process does the same.
 */
import { dlopen, ptr } from "bun:ffi"
import { closeSync } from "node:fs"

/** Read end, write end. */
export type Pipe = readonly [number, number]

/** O_CLOEXEC of <fcntl.h>; spawn hands the write end on under another number, which is not closed. */
const closeOnExec = 0o2000000

const makePipe = process.platform === "linux" ? linuxPipe() : undefined

function linuxPipe(): (() => Pipe) | undefined {
  try {
    const { pipe2 } = dlopen("libc.so.6", { pipe2: { args: ["ptr", "i32"], returns: "i32" } }).symbols
    return () => {
      const ends = new Int32Array(2)
      if (pipe2(ptr(ends), closeOnExec) !== 0)
        throw Object.assign(new Error("pipe2 failed"), { code: "EMFILE" })
      return [ends[0]!, ends[1]!]
    }
  } catch {
    return undefined
  }
}

/** A pipe, or undefined where this system has none to give: sockets will have to do. Throws EMFILE. */
export const openPipe = (): Pipe | undefined => makePipe?.()

/** F_GETFL, F_SETFL and O_NONBLOCK of <fcntl.h> on Linux. */
const [getFlags, setFlags, nonBlocking] = [3, 4, 0o4000]

/**
 * Makes a descriptor blocking again. Bun's own streams make theirs non-blocking, and with them what a child inherits: a program that
 * does not expect it loses what it prints when the reader is slow.
 */
export function makeBlocking(descriptor: number): void {
  if (process.platform !== "linux") return
  try {
    const { fcntl } = dlopen("libc.so.6", {
      fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    }).symbols
    const flags = fcntl(descriptor, getFlags, 0)
    if (flags >= 0) fcntl(descriptor, setFlags, flags & ~nonBlocking)
  } catch {
    // No glibc here: the descriptor stays as it is.
  }
}

export function closeEnd(descriptor: number): void {
  try {
    closeSync(descriptor)
  } catch {
    // Closed already, with its stream.
  }
}
