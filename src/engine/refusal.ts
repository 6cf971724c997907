/** What an engine cannot do is refused in the same words everywhere, with what would mend it. */
import { TqError } from "../core/errors.ts"
import type { Relocation } from "./engine.ts"

/** @param what as the user knows it: `--unique`, `tq show` */
export const needsStore = (what: string): TqError =>
  new TqError(
    "unsupported",
    `${what}: unsupported by RabbitMQ without a store: add --store redis://... or sqlite:...`,
  )

/** What a store whose tasks have another place says to whoever wants something new of it. */
export const movedAway = (location: string, { to, isDone }: Relocation): TqError =>
  isDone
    ? new TqError("config", `${location} was moved to ${to}: use that URL`)
    : new TqError("later", `${location} is being moved to ${to}: try again there`)
