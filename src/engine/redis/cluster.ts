/**
 * Finds the one master of a cluster that has a namespace's slot, anew at every connect: after a failover or a move of the slot the
 * connection is closed or answers MOVED, and the next one goes to the right place.
 */
import { connect as connectPlain } from "node:net"
import { connect as connectTls } from "node:tls"
import { AbstractConnector, Redis, type RedisOptions } from "ioredis"
import { messageOf } from "../../core/errors.ts"
import type { Address } from "./location.ts"

type Socket = Awaited<ReturnType<AbstractConnector["connect"]>>

/** Milliseconds in which a node must say who has the slot, before another one is asked. */
const nodePatience = 2_000

/** @param slotKey any key of the slot */
export function clusterConnector(seeds: readonly Address[], slotKey: string) {
  /** Whoever answered is asked first the next time; the seeds stay, for a cluster whose nodes have all moved. */
  let known = seeds

  return class extends AbstractConnector {
    readonly #options: RedisOptions

    constructor(options: unknown) {
      const own = options as RedisOptions & { disconnectTimeout: number }
      super(own.disconnectTimeout)
      this.#options = own
    }

    override async connect(): Promise<Socket> {
      this.connecting = true
      const { host, port } = await this.#findMaster()
      if (!this.connecting) throw new Error("Connection is closed.")
      const { tls } = this.#options
      const socket = tls ? connectTls({ ...tls, host, port }) : connectPlain({ host, port })
      socket.once("error", (error) => {
        this.firstError = error
      })
      this.stream = socket
      return socket
    }

    async #findMaster(): Promise<Address> {
      let reason = "no node is known"
      for (const node of known) {
        try {
          const { master, nodes } = await askNode(node, slotKey, this.#options)
          known = [...new Map([...nodes, ...seeds].map((one) => [`${one.host} ${one.port}`, one])).values()]
          return master
        } catch (error) {
          reason = messageOf(error)
        }
      }
      throw new Error(`no node of the cluster answers: ${reason}`)
    }
  }
}

async function askNode(
  node: Address,
  slotKey: string,
  { username, password, tls }: RedisOptions,
): Promise<{ readonly master: Address; readonly nodes: readonly Address[] }> {
  const client = new Redis({
    ...node,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls }),
    retryStrategy: null,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: nodePatience,
    commandTimeout: nodePatience,
  })
  const failed = new Promise<never>((_, reject) => client.once("error", reject))
  try {
    const [slot, slots] = await Promise.race([
      Promise.all([client.cluster("KEYSLOT", slotKey), client.cluster("SLOTS")]),
      failed,
    ])
    // A node that does not know its own address leaves the host empty: then it is where it was reached.
    const masters = slots.map(([from, to, [host, port] = ["", 0]]) => ({
      has: from <= slot && slot <= to,
      address: { host: host || node.host, port },
    }))
    const owner = masters.find(({ has }) => has)
    if (!owner) throw new Error(`nobody has slot ${slot}`)
    return { master: owner.address, nodes: masters.map(({ address }) => address) }
  } finally {
    client.disconnect()
  }
}
