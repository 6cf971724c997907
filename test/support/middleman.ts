/** A TCP proxy that stands between and loses what it is told to lose: replies, connections, everything; or holds replies back. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

export class Middleman implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #pairs = new Set<readonly [near: Socket, far: Socket]>()
  /** Packets vanish both ways, and no connection is closed. */
  isSilent = false
  #cutReplyTo: ((request: Buffer) => boolean) | undefined
  #heldFrom: ((request: Buffer) => boolean) | undefined
  #held: (() => void)[] | undefined

  private constructor(server: Server) {
    this.port = (server.address() as AddressInfo).port
    this.#server = server
  }

  static async start(target: number): Promise<Middleman> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const proxy = new Middleman(server)
    server.on("connection", (near) => proxy.#carry(near, target))
    return proxy
  }

  /** The next request like this reaches the server, and its connection is cut before the reply. Resolves when it is. */
  loseReplyTo(isMeant: (request: Buffer) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#cutReplyTo = (request) => {
        if (!isMeant(request)) return false
        this.#cutReplyTo = undefined
        resolve()
        return true
      }
    })
  }

  /** From the next request like this on replies stay here until `release`. Resolves when it has come. */
  holdRepliesFrom(isMeant: (request: Buffer) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#heldFrom = (request) => {
        if (!isMeant(request)) return false
        this.#heldFrom = undefined
        resolve()
        return true
      }
    })
  }

  release(): void {
    const held = this.#held?.splice(0) ?? []
    this.#held = undefined
    for (const deliver of held) deliver()
  }

  /** Closes every connection. */
  cut(): void {
    for (const [near, far] of this.#pairs) {
      near.destroy()
      far.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #carry(near: Socket, target: number): void {
    const far = connect(target, "127.0.0.1")
    const pair = [near, far] as const
    this.#pairs.add(pair)
    let isDoomed = false
    near.on("data", (request: Buffer) => {
      if (this.isSilent) return
      isDoomed ||= this.#cutReplyTo?.(request) ?? false
      if (this.#heldFrom?.(request)) this.#held = []
      far.write(request)
    })
    far.on("data", (reply: Buffer) => {
      if (this.isSilent) return
      if (isDoomed) near.destroy()
      else if (this.#held) this.#held.push(() => near.write(reply))
      else near.write(reply)
    })
    for (const socket of pair) {
      // A cut shows on both sides as an error or an end; what is left is closed.
      socket.on("error", () => undefined)
      socket.on("close", () => {
        this.#pairs.delete(pair)
        near.destroy()
        far.destroy()
      })
    }
  }
}
