/** The same commands on every store that flows run on: a sandbox whose TQ_URL is one of them. */
import { type Live, type RunOptions, Sandbox } from "./cli.ts"
import { dropNamespace, freshNamespace } from "./rabbit.ts"
import { sharedRabbit } from "./rabbit-server.ts"
import { newNamespace } from "./redis.ts"
import { sharedRedis } from "./redis-server.ts"

export const stores = ["SQLite", "Redis"] as const
/** RabbitMQ delivers, SQLite keeps. */
export const storesAndBroker = [...stores, "RabbitMQ"] as const
/** RabbitMQ with each of them. */
export const brokers = ["RabbitMQ", "RabbitMQ and Redis"] as const
export type StoreName = (typeof storesAndBroker)[number] | (typeof brokers)[number]

export class StoreSandbox extends Sandbox {
  /** What a worker needs here to run commands. */
  readonly workFlags: readonly string[]

  private constructor(workFlags: readonly string[]) {
    super()
    this.workFlags = workFlags
  }

  static async on(store: StoreName): Promise<StoreSandbox> {
    const box = new StoreSandbox(store === "SQLite" ? [] : ["--allow-commands"])
    if (store === "Redis") {
      box.env.TQ_URL = await sharedRedis()
      box.env.TQ_NAMESPACE = newNamespace()
    }
    if (store === "RabbitMQ" || store === "RabbitMQ and Redis") {
      box.env.TQ_URL = await sharedRabbit()
      box.env.TQ_STORE = store === "RabbitMQ" ? `sqlite:${box.path("store.db")}` : await sharedRedis()
      box.env.TQ_NAMESPACE = store === "RabbitMQ" ? freshNamespace() : newNamespace()
    }
    return box
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]()
    const { TQ_STORE: kept, TQ_URL: url, TQ_NAMESPACE: namespace } = this.env
    if (kept !== undefined) await dropNamespace(url!, namespace!, ["default"])
  }

  override worker(args: readonly string[] = [], options: RunOptions = {}): Promise<Live> {
    return super.worker([...this.workFlags, ...args], options)
  }
}
