/**
 * Free ports of loopback, for servers that are stopped and started again on the same one. They are below those that systems give to
 * outgoing connections, and whoever asks for one here has it alone for as long as its process lives: it keeps the UDP port of the
 * same number, which no server of the tests wants.
 */
import { createServer } from "node:net"

const lowest = 10_000
/** Nodes of a Redis cluster listen on a second port as well, 10,000 above the first: those are nobody's first. */
const highest = 19_999

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1_000; tries++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1))
    if ((await isFree(port)) && (await isFree(port + 10_000)) && (await isReserved(port))) return port
  }
  throw new Error(`no port from ${lowest} to ${highest} is free`)
}

async function isReserved(port: number): Promise<boolean> {
  try {
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port })
    socket.unref()
    reserved.push(socket)
    return true
  } catch {
    return false
  }
}

/** Referenced, so that they stay open. */
const reserved: object[] = []

/** Whether nobody listens there. */
function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const probe = createServer()
  probe.once("error", () => resolve(false))
  probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)))
  return promise
}
