/** Sets of Redis servers for tests: a cluster of masters, and a master with a replica that sentinels watch. */
import { waitFor } from "./cli.ts"
import { RedisServer } from "./redis-server.ts"

/** Three masters that share the slots. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: readonly RedisServer[]

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes
  }

  /** @param more lines of redis.conf */
  static async start(more: readonly string[] = []): Promise<RedisCluster> {
    // A busy machine is no partition: nobody is to be taken for dead.
    const config = ["cluster-enabled yes", "cluster-node-timeout 60000", ...more]
    const nodes = await Promise.all([1, 2, 3].map(() => RedisServer.start({ config })))
    const cluster = new RedisCluster(nodes)
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
    await nodes[0]!.cli("--cluster", "create", ...addresses, "--cluster-yes")
    for (const node of nodes) {
      await waitFor(async () => (await node.cli("CLUSTER", "INFO")).includes("cluster_state:ok"))
    }
    return cluster
  }

  get url(): string {
    return this.urlOf("")
  }

  /** @param credentials `user:password@` */
  urlOf(credentials: string): string {
    return `redis+cluster://${credentials}${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

/** So long, in milliseconds, sentinels bear silence: a busy machine is no failure, until one is played. */
const patience = 60_000

/** A master and a replica under three sentinels, two of whom must agree that the master is gone. */
export class RedisSentinels implements AsyncDisposable {
  readonly name = "orders"
  readonly sentinels: readonly RedisServer[]
  readonly #data: readonly RedisServer[]

  private constructor(data: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.#data = data
    this.sentinels = sentinels
  }

  static async start(): Promise<RedisSentinels> {
    const master = await RedisServer.start()
    const replica = await RedisServer.start({ config: [`replicaof 127.0.0.1 ${master.port}`] })
    await waitFor(async () => (await replica.cli("INFO", "replication")).includes("master_link_status:up"))
    const config = [
      `sentinel monitor orders 127.0.0.1 ${master.port} 2`,
      `sentinel down-after-milliseconds orders ${patience}`,
      "sentinel failover-timeout orders 2000",
    ]
    const sentinels = await Promise.all([1, 2, 3].map(() => RedisServer.start({ config })))
    const set = new RedisSentinels([master, replica], sentinels)
    for (const sentinel of sentinels) {
      await waitFor(async () =>
        /num-slaves\n1\n[\s\S]*num-other-sentinels\n2\n/.test(
          await sentinel.cli("SENTINEL", "MASTER", "orders"),
        ),
      )
    }
    return set
  }

  get url(): string {
    return `redis+sentinel://${this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",")}/${this.name}`
  }

  /** The server that the sentinels call the master. */
  async master(): Promise<RedisServer> {
    const [, port] = (await this.sentinels[0]!.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.name)).split(
      "\n",
    )
    const master = this.#data.find((server) => String(server.port) === port)
    if (!master) throw new Error(`the sentinels name port ${port}`)
    return master
  }

  /** kill -9 of the master. Resolves once the sentinels have made the replica the new one. @returns the dead one */
  async failover(): Promise<RedisServer> {
    const old = await this.master()
    await old.kill()
    await this.#bear(500)
    await waitFor(async () => (await this.master()) !== old)
    const next = await this.master()
    await waitFor(async () => (await next.cli("ROLE")).startsWith("master"))
    await this.#bear(patience)
    return old
  }

  async #bear(silence: number): Promise<void> {
    const set = ["SENTINEL", "SET", this.name, "down-after-milliseconds", String(silence)]
    await Promise.all(this.sentinels.map((sentinel) => sentinel.cli(...set)))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.#data].map((server) => server.stop()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
