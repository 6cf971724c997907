import manifest from "../package.json" with { type: "json" }
import { command } from "../src/cli/command.ts"
import type { Session } from "../src/cli/session.ts"
import { interruption } from "../src/cli/signals.ts"
import { counted } from "../src/core/counted.ts"
import { TqError } from "../src/core/errors.ts"
import { refuseUnmovable } from "../src/transfer/export.ts"
import { move } from "../src/transfer/move.ts"
import { hasPassword } from "../src/url.ts"

export default command({
  name: "move",
  description:
    "Move everything to another store: tasks in every state, results, logs, keys, schedules. Workers must have stopped; from then on the old store takes nothing new and says where its tasks are. After an interruption, repeat the command.",
  usage: ["tq move --to URL [--wait-drained]", "tq move --abort"],
  examples: [
    "tq move --to redis://queue.internal --wait-drained",
    "TQ_URL=redis://queue.internal tq move --to sqlite:/var/lib/tq/tq.db",
  ],
  flags: {
    to: { type: "string", value: "URL", description: "the other store" },
    "to-password-file": { type: "string", value: "FILE", description: "the other store's password" },
    "wait-drained": {
      type: "boolean",
      description: "ask the workers to drain, and wait until the last one has gone",
    },
    abort: { type: "boolean", description: "give up a move that was interrupted: the old store opens again" },
  },
  operands: { min: 0, max: 0 },
  run: async ({ flags, session }) => {
    const source = await session.engine()
    refuseUnmovable(source)
    if (flags.abort) return abort(session)
    if (flags.to === undefined) throw new TqError("usage", "where to? write tq move --to URL")
    if (hasPassword(flags.to)) {
      throw new TqError(
        "usage",
        "a password in --to is visible to every user of this machine: put it in --to-password-file",
      )
    }
    const passwordFile = flags["to-password-file"]
    const target = await session.connectTo({
      url: flags.to,
      ...(passwordFile !== undefined && { passwordFile }),
    })
    const stop = interruption()
    try {
      refuseUnmovable(target)
      const copy = await move({
        source,
        target,
        waitDrained: flags["wait-drained"],
        clock: session.clock,
        random: session.random,
        version: manifest.version,
        signal: stop.signal,
        progress: (text) => {
          if (session.showsProgress) session.progress(text)
        },
        remark: (text) => session.talk(text),
      }).finally(() => session.endProgress())
      if (session.json) {
        session.printLine(
          JSON.stringify({ to: target.location, tasks: copy?.tasks ?? 0, crons: copy?.crons ?? 0 }),
        )
      }
      session.talk(
        copy
          ? `${counted(copy.tasks, "task")} and ${counted(copy.crons, "cron entry", "cron entries")} moved to ${target.location}`
          : `${source.location} was moved to ${target.location} before`,
      )
      return 0
    } catch (error) {
      if (stop.exitCode === undefined) throw error
      session.warn("interrupted: repeat the command to go on, or tq move --abort")
      return stop.exitCode
    } finally {
      stop.stop()
      await target.close()
    }
  },
})

async function abort(session: Session): Promise<number> {
  const source = await session.engine()
  const relocation = await source.relocation()
  if (relocation?.isDone) {
    throw new TqError("exists", `${source.location} was moved to ${relocation.to}: move it back from there`)
  }
  if (!relocation) throw new TqError("missing", `no move of ${source.location} is under way`)
  await source.relocate(null)
  session.talk(`${source.location} is open again; what ${relocation.to} has got stays there`)
  return 0
}
