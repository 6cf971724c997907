/**
 * Tells systemd how a service is: ready, reloading, alive, stopping (sd_notify(3)). Datagrams to a Unix socket, for which Bun has
 * nothing: libc's own sendto. The program systemd-notify would send from another process, which systemd takes for the service's only
 * with NotifyAccess=all; where libc cannot be reached that way, it is what is left.
 */
import { dlopen, ptr } from "bun:ffi"
import type { Millis } from "./core/clock.ts"

export interface ServiceManager {
  ready(status: string): void
  reloading(): void
  stopping(): void
  /** Begins to prove, as often as the unit's WatchdogSec asks, that the service is alive. */
  watch(isAlive: () => boolean): void
  close(): void
}

type Environment = Readonly<Record<string, string | undefined>>

/** What systemd asked for; without its variables nothing is sent. */
export function serviceManager(env: Environment): ServiceManager {
  const path = env.NOTIFY_SOCKET
  const libc = path ? openLibc() : undefined
  const send = path ? senderTo(path, libc) : () => undefined
  const interval = watchdogInterval(env)
  let timer: Timer | undefined
  return {
    ready: (status) => send(`READY=1\nSTATUS=${status}`),
    reloading: () =>
      send(["RELOADING=1", ...(libc ? [`MONOTONIC_USEC=${monotonicMicros(libc)}`] : [])].join("\n")),
    stopping: () => send("STOPPING=1"),
    watch(isAlive) {
      if (!path || interval === undefined) return
      timer = setInterval(() => {
        if (isAlive()) send("WATCHDOG=1")
      }, interval)
    },
    close: () => clearInterval(timer),
  }
}

/** Half of what systemd allows. The variable may have been meant for a parent of this process (sd_watchdog_enabled(3)). */
function watchdogInterval({ WATCHDOG_USEC, WATCHDOG_PID }: Environment): Millis | undefined {
  const micros = Number(WATCHDOG_USEC)
  if (!Number.isFinite(micros) || micros <= 0) return undefined
  if (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== process.pid) return undefined
  return Math.max(1, micros / 2000)
}

// socket(2), sendto(2), unix(7), clock_gettime(2), as on every 64-bit Linux.
const monotonicClock = 1
const unixFamily = 1
const datagramCloexec = 2 | 0x80000
const noSignal = 0x4000
const libraries = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`]

type Libc = NonNullable<ReturnType<typeof openLibc>>

/** Since the machine came up: systemd compares it with the moment at which it asked. Our own clocks begin with the process. */
function monotonicMicros(libc: Libc): bigint {
  const time = new BigInt64Array(2)
  libc.clock_gettime(monotonicClock, ptr(time))
  return time[0]! * 1_000_000n + time[1]! / 1_000n
}

function senderTo(path: string, libc: Libc | undefined): (message: string) => void {
  if (!libc) return (message) => sendByProgram(message)
  // A name that begins with @ is in the abstract namespace: its first byte is NUL.
  const address = Buffer.concat([Uint8Array.of(unixFamily, 0), Buffer.from(path.replace(/^@/, "\0"))])
  return (message) => {
    const bytes = Buffer.from(message)
    const socket = libc.socket(unixFamily, datagramCloexec, 0)
    if (socket < 0) return
    // Whether systemd hears it is its own affair: nothing here depends on it.
    libc.sendto(socket, ptr(bytes), bytes.byteLength, noSignal, ptr(address), address.byteLength)
    libc.close(socket)
  }
}

function openLibc() {
  for (const library of libraries) {
    try {
      return dlopen(library, {
        socket: { args: ["i32", "i32", "i32"], returns: "i32" },
        sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
        close: { args: ["i32"], returns: "i32" },
        clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
      }).symbols
    } catch {
      // Another libc, perhaps.
    }
  }
  return undefined
}

function sendByProgram(message: string): void {
  try {
    Bun.spawn(["systemd-notify", ...message.split("\n")], { stdio: ["ignore", "ignore", "ignore"] })
  } catch {
    // Not there: systemd takes the service for not ready, and says so in its log.
  }
}
