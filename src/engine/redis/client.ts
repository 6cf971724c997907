/** What ioredis must know to reach a location. The connection's behaviour (deadlines, retries) is `connection.ts`'s. */
import type { RedisOptions } from "ioredis"
import { clusterConnector } from "./cluster.ts"
import type { RedisLocation } from "./location.ts"

/** The types of ioredis follow from the mapping; this is its default one. */
export type ClientOptions = RedisOptions & { readonly replyMapping: "legacy" }

/**
 * Options for `new Redis(…)`, whatever the location: all keys of a namespace share one slot, so of a cluster one master is
 * all that is needed, and that is found at every connect, as sentinels name theirs.
 * @param slotKey any key of the namespace: `{tq}`
 */
export function clientOptions(
  { target, credentials, db, tls }: RedisLocation,
  slotKey: string,
): ClientOptions {
  const common: ClientOptions = {
    ...credentials,
    replyMapping: "legacy",
    ...(tls && { tls: { ...tls } }),
    // Whoever answers so is not, or no longer, the master: the next connect finds the one that is.
    reconnectOnError: ({ message }) => /(?:^|-)(?:MOVED|READONLY|MASTERDOWN) /.test(message),
  }
  switch (target.kind) {
    case "server":
      return { ...common, db, host: target.host, port: target.port }
    case "socket":
      return { ...common, db, path: target.path }
    case "sentinel": {
      const { username, password } = target.credentials
      return {
        ...common,
        db,
        sentinels: [...target.sentinels],
        name: target.master,
        ...(username !== undefined && { sentinelUsername: username }),
        ...(password !== undefined && { sentinelPassword: password }),
        ...(tls && { sentinelTLS: { ...tls }, enableTLSForSentinelMode: true }),
      }
    }
    case "cluster":
      return { ...common, Connector: clusterConnector(target.nodes, slotKey) }
  }
}
