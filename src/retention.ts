/** How long ended tasks are kept: the defaults, and what tq.toml says. */
import type { Config } from "./config.ts"
import { defaultRetention, type Retention } from "./core/filter.ts"
import type { Engine } from "./engine/engine.ts"

/** Bytes of results and logs kept, where nothing else is said. A Redis server pays for them with memory. */
const outputBytes: Readonly<Record<Engine["kind"], number>> = {
  sqlite: 2 * 2 ** 30,
  redis: 256 * 2 ** 20,
  rabbitmq: 256 * 2 ** 20,
}

export function retentionOf(config: Config, kind: Engine["kind"]): Retention {
  const { completed, count, failed, output } = config.file("retention") ?? {}
  const queues = Object.entries(config.file("queues") ?? {})
  return {
    ...defaultRetention,
    completedFor: completed ?? defaultRetention.completedFor,
    completedCount: count ?? defaultRetention.completedCount,
    failedFor: failed ?? defaultRetention.failedFor,
    outputBytes: output ?? outputBytes[kind],
    queueCounts: Object.fromEntries(
      queues.flatMap(([queue, { keep }]) => (keep === undefined ? [] : [[queue, keep]])),
    ),
  }
}
