/** The same commands on every store that flows run on: a sandbox whose TQ_URL is one of them. */
import { type Live, type RunOptions, Sandbox } from "./cli.ts"
import { newNamespace } from "./redis.ts"
import { sharedRedis } from "./redis-server.ts"

export const stores = ["SQLite", "Redis"] as const
export type StoreName = (typeof stores)[number]

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
    return box
  }

  override worker(args: readonly string[] = [], options: RunOptions = {}): Promise<Live> {
    return super.worker([...this.workFlags, ...args], options)
  }
}
