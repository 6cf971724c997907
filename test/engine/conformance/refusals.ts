import { describe, expect } from "bun:test"
import { TqError } from "../../../src/core/errors.ts"
import type { TaskRecord } from "../../../src/core/task.ts"
import type { Capability } from "../../../src/engine/engine.ts"
import { waiting } from "../../support/outcomes.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

type Calls = Record<string, (stage: Stage) => Promise<unknown>>

const pushing = (fields: Partial<TaskRecord>) => (stage: Stage) => stage.engine.push([stage.task(fields)])

/** What must be refused where a capability is missing. */
const needing: Partial<Record<Capability, Calls>> = {
  lookup: {
    get: ({ engine }) => engine.get(["x"]),
    list: ({ engine }) => engine.list({}, { limit: 1 }),
    count: ({ engine }) => engine.count({}),
    output: ({ engine }) => engine.output("x"),
    memos: ({ engine }) => engine.memos("x"),
    follow: async ({ engine }) => {
      for await (const _ of engine.follow("x", { output: true }, new AbortController().signal)) break
    },
  },
  unique: { "a push with a unique key": pushing({ unique: { key: "k" } }) },
  serial: { "a push with a serial key": pushing({ serial: "k" }) },
  after: { "a push with parents": pushing({ after: [{ id: "x", on: "completed" }] }) },
  flows: { "a push of a flow's step": pushing({ flow: { run: "r", step: "s" } }) },
  revise: {
    "revise by ids": ({ engine }) => engine.revise({ ids: ["x"] }, { kind: "retry" }),
    "revise by filter": ({ engine }) => engine.revise({ filter: {} }, { kind: "delete" }),
  },
  pause: { configure: ({ engine }) => engine.configure("default", { paused: true }) },
  anyQueue: {
    "a claim from `*`": async (stage) => (await stage.worker()).claim({ queues: [{ name: "*", limit: 1 }] }),
  },
  events: {
    send: ({ engine }) => engine.send({ name: "dawn", payload: "1" }),
    "a settle to waiting": async (stage) => {
      await stage.push({})
      const worker = await stage.worker()
      return worker.settle(waiting(await worker.take(), "dawn"))
    },
  },
  move: {
    dump: ({ engine }) => engine.dump(),
    restore: ({ engine }) => engine.restore([]),
    relocate: ({ engine }) => engine.relocate(null),
    relocation: ({ engine }) => engine.relocation(),
  },
  cron: {
    crons: ({ engine }) => engine.crons(),
    cron: ({ engine }) => engine.cron("x"),
    putCron: ({ engine }) => engine.putCron("x", undefined, { spec: "{}", paused: false }),
    dueCrons: ({ engine }) => engine.dueCrons(1),
    fire: ({ engine }) => engine.fire("x", { revision: 1, tick: 0, tasks: [], overlap: "skip" }),
  },
}

/** Registered only for what an engine cannot do. */
export function refusalRules(suite: Suite): void {
  const missing = (Object.keys(needing) as Capability[]).filter((capability) => suite.lacks(capability))
  if (missing.length === 0) return

  describe("refuses what it cannot do", () => {
    const rule = suite.needing()
    for (const capability of missing) {
      for (const [what, call] of Object.entries(needing[capability]!)) {
        rule(`${capability}: ${what}`, async (stage) => {
          const error = await call(stage).then(
            () => undefined,
            (thrown: unknown) => thrown,
          )
          expect(error).toBeInstanceOf(TqError)
          expect((error as TqError).code).toBe("unsupported")
        })
      }
    }

    for (const [what, fields] of Object.entries({
      unique: { unique: { key: "k" } },
      serial: { serial: "k" },
      after: { after: [{ id: "x", on: "ended" as const }] },
    })) {
      if (!suite.lacks(what as Capability)) continue
      rule(`a push that is refused for ${what} writes nothing`, async (stage) => {
        await expect(stage.engine.push([stage.task(), stage.task(fields)])).rejects.toThrow(TqError)
        expect(await (await stage.worker()).claims()).toEqual([])
      })
    }
  })
}
