/** Free ports of loopback. */
import { createServer } from "node:net"

/** A port that nobody listened on a moment ago. Another process may be quicker, so whoever binds it must be ready to ask again. */
export function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const probe = createServer()
  probe.once("error", reject)
  probe.listen(0, "127.0.0.1", () => {
    const address = probe.address()
    probe.close(() => resolve(typeof address === "object" && address ? address.port : 0))
  })
  return promise
}
