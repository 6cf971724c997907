/**
 * Where cron entries are kept: in the store. RabbitMQ without one cannot keep them; there they are in a SQLite file of this machine,
 * which its workers and its `tq scheduler` fire from. Several machines then have each their own entries, and know nothing of one
 * another.
 */
import { join } from "node:path"
import type { Session } from "../cli/session.ts"
import { stateHome } from "../config.ts"
import type { Engine } from "../engine/engine.ts"
import { redactUrl } from "../url.ts"
import { Relay } from "./relay.ts"
import { Ticker, type Timetable } from "./ticker.ts"

/** What cron asks of a store. */
export type Schedules = Pick<
  Engine,
  "location" | "crons" | "cron" | "putCron" | "dueCrons" | "fire" | "supports"
>

export async function schedulesOf(session: Session, engine: Engine): Promise<Schedules> {
  return engine.supports.cron ? engine : localStore(session)
}

/** The file for what the URL names. */
async function localStore(session: Session): Promise<Engine> {
  const { url, namespace } = session.config
  const where = new Bun.CryptoHasher("sha256").update(redactUrl(url.value)).digest("hex").slice(0, 12)
  const { SqliteEngine } = await import("../engine/sqlite/sqlite.ts")
  const store = new SqliteEngine({
    path: join(stateHome(session.env), "tq", `cron-${where}.db`),
    namespace: namespace.value,
    clock: session.clock,
    random: session.random,
  })
  await store.open()
  return store
}

export interface Place {
  /** Makes the ticker that fires what is kept there. */
  readonly tickerFor: (engine: () => Engine) => Ticker
  /** Where that is. */
  readonly location: string
}

export async function placeOf(
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): Promise<Place> {
  const { clock, random } = session
  const tickerOn = (timetable: () => Timetable) => new Ticker({ timetable, clock, random, remark })
  if (engine.supports.cron) return { tickerFor: tickerOn, location: engine.location }
  const store = await localStore(session)
  return {
    tickerFor: (current) => {
      const relay = new Relay({ store, engine: current, clock, random })
      return tickerOn(() => relay)
    },
    location: store.location,
  }
}
