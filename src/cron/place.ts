/**
 * Where cron entries are kept: in the store. RabbitMQ without one cannot keep them; there they are in a SQLite file of this machine,
 * which its workers and its `tq scheduler` fire from. Several machines then have each their own entries, and know nothing of one
 * another.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Session } from "../cli/session.ts"
import { stateHome } from "../config.ts"
import type { Engine } from "../engine/engine.ts"
import { databasePath } from "../engine/sqlite/location.ts"
import { redactUrl } from "../url.ts"
import { Relay } from "./relay.ts"
import { Ticker, type Timetable } from "./ticker.ts"

/** What cron asks of a store. */
export type Schedules = Pick<
  Engine,
  "location" | "crons" | "cron" | "putCron" | "dueCrons" | "fire" | "supports"
>

export async function schedulesOf(session: Session, engine: Engine): Promise<Schedules> {
  return engine.supports.cron ? engine : localStore(session).open()
}

/** The same, where there is already something to be found. */
export async function presentSchedules(session: Session, engine: Engine): Promise<Schedules | undefined> {
  return engine.supports.cron ? engine : localStore(session).openIfThere()
}

/** The file for what the URL names. `tq cron` makes it; a worker has no need of one without entries. */
function localStore({ config, env, clock, random }: Session) {
  const { url, namespace } = config
  const where = new Bun.CryptoHasher("sha256").update(redactUrl(url.value)).digest("hex").slice(0, 12)
  const path = join(stateHome(env), "tq", `cron-${where}.db`)
  const open = async (): Promise<Engine> => {
    const { SqliteEngine } = await import("../engine/sqlite/sqlite.ts")
    const store = new SqliteEngine({ path, namespace: namespace.value, clock, random })
    await store.open()
    return store
  }
  const isThere = () => existsSync(databasePath(path, namespace.value))
  return { path, open, openIfThere: async () => (isThere() ? open() : undefined) }
}

export interface Place {
  /** Makes the ticker that fires what is kept there. */
  readonly tickerFor: (engine: () => Engine) => Ticker
  /** Where that is. */
  readonly location: string
}

/** Throws `config` where it cannot be: a machine's file, for a user without a home. */
export async function placeOf(
  session: Session,
  engine: Engine,
  remark: (message: string) => void,
): Promise<Place> {
  const { clock, random } = session
  const tickerOn = (timetable: () => Timetable) => new Ticker({ timetable, clock, random, remark })
  if (engine.supports.cron) return { tickerFor: tickerOn, location: engine.location }
  const { path, openIfThere } = localStore(session)
  return {
    tickerFor: (current) => {
      const relay = new Relay({ open: openIfThere, engine: current, clock, random })
      return tickerOn(() => relay)
    },
    location: `sqlite:${path}`,
  }
}
