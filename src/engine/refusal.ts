/** What an engine cannot do is refused in the same words everywhere, with what would mend it. */
import { TqError } from "../core/errors.ts"

/** @param what as the user knows it: `--unique`, `tq show` */
export const needsStore = (what: string): TqError =>
  new TqError(
    "unsupported",
    `${what}: unsupported by RabbitMQ without a store: add --store redis://... or sqlite:...`,
  )
