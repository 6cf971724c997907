/** What a command that makes tasks brings along: the time, the settings, the directory it was called in. */
import type { Session } from "../cli/session.ts"
import { ulids } from "../core/id.ts"
import type { Drafting } from "./draft.ts"

/** Without the signing. */
export const plainDrafting = (session: Session): Omit<Drafting, "sign"> => ({
  now: session.clock.now(),
  newId: ulids(session.clock, session.random),
  routes: session.config.file("routes") ?? {},
  payloadLimit: session.payloadLimit,
  cwd: process.cwd(),
  environment: session.env,
})

export async function draftingOf(session: Session): Promise<Drafting> {
  const sign = await session.signer()
  return { ...plainDrafting(session), ...(sign && { sign }) }
}
