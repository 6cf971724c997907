/**
 * An engine that can do no more than it must, as RabbitMQ without a store: every capability is off, and whatever needs
 * one is refused. It shows that the conformance suite asks of such an engine only what it supports.
 */
import { TqError } from "../../src/core/errors.ts"
import type { Capability, Engine } from "../../src/engine/engine.ts"
import type { Harness } from "../engine/conformance/stage.ts"

const methods: Partial<Record<keyof Engine, Capability>> = {
  get: "lookup",
  list: "lookup",
  count: "lookup",
  output: "lookup",
  memos: "lookup",
  follow: "lookup",
  revise: "revise",
  configure: "pause",
  send: "events",
  crons: "cron",
  cron: "cron",
  putCron: "cron",
  dueCrons: "cron",
  fire: "cron",
  dump: "move",
  restore: "move",
  relocate: "move",
  relocation: "move",
}

const refusal = (capability: Capability) =>
  new TqError("unsupported", `the restricted engine has no ${capability}`)

function restrict(engine: Engine): Engine {
  const push: Engine["push"] = async (tasks) => {
    for (const task of tasks) {
      if (task.unique) throw refusal("unique")
      if (task.serial !== undefined) throw refusal("serial")
      if (task.after) throw refusal("after")
      if (task.flow) throw refusal("flows")
    }
    return engine.push(tasks)
  }
  const claim: Engine["claim"] = async (worker, demand) => {
    if (demand.queues.some(({ name }) => name === "*")) throw refusal("anyQueue")
    return engine.claim(worker, demand)
  }
  const settle: Engine["settle"] = async (worker, settlements, demand) => {
    if (settlements.some(({ outcome }) => outcome.to === "waiting")) throw refusal("events")
    return engine.settle(worker, settlements, demand)
  }
  const own: Partial<Engine> = { supports: nothing, push, claim, settle }
  return new Proxy(engine, {
    get(target, key) {
      const name = key as keyof Engine
      if (own[name]) return own[name]
      const needed = methods[name]
      if (needed)
        return () => (name === "follow" ? refusedSightings(needed) : Promise.reject(refusal(needed)))
      const value: unknown = target[name]
      return typeof value === "function" ? value.bind(target) : value
    },
  })
}

// biome-ignore lint/correctness/useYield: it refuses before it yields anything
async function* refusedSightings(needed: Capability): AsyncGenerator<never> {
  throw refusal(needed)
}

const nothing: Engine["supports"] = {
  lookup: false,
  dedupe: false,
  unique: false,
  serial: false,
  after: false,
  revise: false,
  pause: false,
  levels: false,
  cron: false,
  events: false,
  flows: false,
  fence: false,
  crashes: false,
  anyQueue: false,
  move: false,
}

export const restrictedHarness = (harness: Harness): Harness => ({
  ...harness,
  supports: nothing,
  processes: false,
  async start() {
    const ground = await harness.start()
    return { ...ground, engine: async () => restrict(await ground.engine()) }
  },
})
