/** Tickers on real stores whose clock the test holds. */
import { describe, expect, test } from "bun:test"
import { TqError } from "../../src/core/errors.ts"
import { parseCatchUp } from "../../src/cron/catchup.ts"
import { encodePlan, type Plan } from "../../src/cron/entry.ts"
import { tickOf } from "../../src/cron/firing.ts"
import { mend } from "../../src/cron/mender.ts"
import { register } from "../../src/cron/register.ts"
import { Ticker, type Timetable } from "../../src/cron/ticker.ts"
import { zonedTime } from "../../src/cron/zoned.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { type Harness, Stage } from "../engine/conformance/stage.ts"
import { completed, spawning } from "../support/outcomes.ts"
import { seeded } from "../support/random.ts"
import { redisHarness } from "../support/redis.ts"
import { sqliteHarness } from "../support/sqlite.ts"

const random = seeded(6)

async function onStage(harness: Harness, play: (stage: Stage) => Promise<void>): Promise<void> {
  const ground = await harness.start()
  const stage = new Stage(harness, ground, await ground.engine())
  try {
    await play(stage)
  } finally {
    await stage.clear()
  }
}

const plan = (rule: string, more: Partial<Plan> = {}): Plan => ({
  schedule: { rule, tz: "UTC" },
  catchUp: parseCatchUp("last"),
  overlap: "allow",
  jitter: 0,
  template: { name: "job", queue: "default", priority: 5, payload: "null" },
  ...more,
})

const add = (engine: Engine, name: string, what: Plan) =>
  register(engine, name, what, { paused: false, replaces: () => false })

const tickerOn = (stage: Stage, timetable: Timetable, remarks: string[] = []): Ticker =>
  new Ticker({
    timetable: () => timetable,
    clock: stage.ground.clock,
    random,
    remark: (text) => remarks.push(text),
  })

/** Fires until nothing is due. */
async function catchUp(ticker: Ticker): Promise<void> {
  while ((await ticker.turn()) === 0);
}

/** Every id in the store. */
async function allIds(engine: Engine): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | undefined
  do {
    const page = await engine.list({}, { limit: 1_000, ...(cursor !== undefined && { cursor }) })
    ids.push(...page.tasks.map(({ record }) => record.id))
    cursor = page.cursor
  } while (cursor !== undefined)
  return ids
}

const stores: Readonly<Record<string, () => Harness>> = {
  sqlite: () => sqliteHarness,
  redis: () => redisHarness(),
}

for (const [store, harnessOf] of Object.entries(stores))
  describe(store, () => {
    const harness = harnessOf()

    test("five schedulers, killed and replaced at random: 9,500 ticks of four entries, one push each", async () => {
      await onStage(harness, async (stage) => {
        const names = ["a", "b", "c", "d"]
        for (const name of names) {
          await add(stage.engine, name, plan("@every 100ms", { catchUp: parseCatchUp("all") }))
        }
        const start = (await stage.engine.dueCrons(1)).now
        const crew: { engine: Engine; ticker: Ticker }[] = []
        /** How often somebody was told that this task's tick is fired. */
        const won = new Map<string, number>()
        const hire = async () => {
          const engine = await stage.another()
          const fire: Engine["fire"] = async (name, firing) => {
            const answer = await engine.fire(name, firing)
            if (answer === "fired") for (const { id } of firing.tasks) won.set(id, (won.get(id) ?? 0) + 1)
            return answer
          }
          return {
            engine,
            ticker: tickerOn(stage, {
              crons: () => engine.crons(),
              dueCrons: (limit) => engine.dueCrons(limit),
              fire,
            }),
          }
        }
        for (let n = 0; n < 5; n++) crew.push(await hire())
        const ticks = 9_500 / names.length
        let passed = 0
        while (passed < ticks) {
          // Sometimes nobody looks for a while.
          const span = Math.min(1 + Math.floor(random() * 12), ticks - passed)
          stage.ground.clock.pass(span * 100)
          passed += span
          const awake = crew.filter(() => random() < 0.8)
          const racing = awake.map(({ ticker }) => catchUp(ticker))
          if (random() < 0.2) {
            // In the middle of its work: its engine is gone, and what it had in hand with it.
            const victim = Math.floor(random() * crew.length)
            const { engine } = crew[victim]!
            await Promise.allSettled([...racing, stage.kill(engine)])
            crew[victim] = await hire()
          } else await Promise.all(racing)
        }
        await Promise.all(crew.map(({ ticker }) => catchUp(ticker)))
        const first = Math.floor(start / 100) * 100 + 100
        const wanted = names.flatMap((name) =>
          Array.from({ length: ticks }, (_, n) => `cron:${name}:1:${first + n * 100}`),
        )
        expect((await allIds(stage.engine)).sort()).toEqual(wanted.sort())
        expect([...won.values()].every((times) => times === 1)).toBe(true)
        // All but those whose winner was killed before it heard of it.
        expect(won.size).toBeGreaterThan(8_000)
      })
    })

    test("the clock is set back an hour: nothing is fired twice, and nothing is left out", async () => {
      await onStage(harness, async (stage) => {
        await add(stage.engine, "x", plan("*/5 * * * *"))
        const ticker = tickerOn(stage, stage.engine)
        for (let n = 0; n < 12; n++) {
          stage.ground.clock.pass(300_000)
          await catchUp(ticker)
        }
        expect(await stage.engine.count({})).toBe(12)
        stage.ground.clock.jump(-3_600_000)
        for (let n = 0; n < 12; n++) {
          stage.ground.clock.pass(300_000)
          await catchUp(ticker)
          expect(await stage.engine.count({})).toBe(12)
        }
        stage.ground.clock.pass(300_000)
        await catchUp(ticker)
        const ids = await allIds(stage.engine)
        expect(ids).toHaveLength(13)
        expect(new Set(ids).size).toBe(13)
      })
    })

    test("the clock is set forward an hour: of the missed ticks the last is fired, once, by one of two", async () => {
      await onStage(harness, async (stage) => {
        await add(stage.engine, "x", plan("*/5 * * * *"))
        const tickers = [tickerOn(stage, stage.engine), tickerOn(stage, await stage.another())]
        stage.ground.clock.pass(300_000)
        await Promise.all(tickers.map(catchUp))
        expect(await stage.engine.count({})).toBe(1)
        stage.ground.clock.jump(3_600_000)
        await Promise.all(tickers.map(catchUp))
        const ids = await allIds(stage.engine)
        expect(ids).toHaveLength(2)
        expect(tickOf(ids[0]!)! - tickOf(ids[1]!)!).toBe(3_600_000)
        stage.ground.clock.pass(300_000)
        await Promise.all(tickers.map(catchUp))
        expect(await stage.engine.count({})).toBe(3)
      })
    })

    test("after three hours without a scheduler, each entry by its own policy", async () => {
      await onStage(harness, async (stage) => {
        const policies = { none: 0, last: 1, all: 36 }
        for (const policy of Object.keys(policies)) {
          await add(stage.engine, policy, plan("2-59/5 * * * *", { catchUp: parseCatchUp(policy) }))
        }
        // To a full hour, so that the last tick is three minutes old.
        const { now } = await stage.engine.dueCrons(1)
        stage.ground.clock.pass(3_600_000 - (now % 3_600_000))
        const ticker = tickerOn(stage, stage.engine)
        await catchUp(ticker)
        const before = await allIds(stage.engine)
        stage.ground.clock.pass(3 * 3_600_000)
        await catchUp(ticker)
        const fired = (await allIds(stage.engine)).filter((id) => !before.includes(id))
        for (const [policy, count] of Object.entries(policies)) {
          expect(fired.filter((id) => id.startsWith(`cron:${policy}:`))).toHaveLength(count)
        }
        for (const entry of await stage.engine.crons()) {
          expect(entry.next).toBe((await stage.engine.dueCrons(1)).now + 120_000)
        }
      })
    })

    test("a clock that was ten years ahead: its ticks are set right, and nothing is fired for the years in between", async () => {
      await onStage(harness, async (stage) => {
        await add(stage.engine, "x", plan("*/5 * * * *"))
        await add(stage.engine, "y", plan("0 0 1 1 *"))
        const years = 10 * 365 * 86_400_000
        const ticker = tickerOn(stage, stage.engine)
        stage.ground.clock.jump(years)
        await catchUp(ticker)
        stage.ground.clock.jump(-years)
        await stage.ground.pass(300_000)
        await catchUp(ticker)
        const before = await stage.engine.count({})
        expect(await mend(stage.engine, () => false)).toEqual(["x", "y"])
        expect(await mend(await stage.another(), () => false)).toEqual([])
        await stage.ground.pass(300_000)
        await catchUp(ticker)
        expect(await stage.engine.count({})).toBe(before + 1)
      })
    })

    test("an entry that the store refuses is tried again later, and holds nobody up", async () => {
      await onStage(harness, async (stage) => {
        for (const name of ["a", "bad", "c"]) await add(stage.engine, name, plan("@every 1h"))
        const remarks: string[] = []
        let refused = 0
        const fire: Engine["fire"] = async (name, firing) => {
          if (name !== "bad" || refused >= 1) return stage.engine.fire(name, firing)
          refused++
          throw new TqError("io", "no room for it")
        }
        const { engine } = stage
        const timetable = {
          crons: () => engine.crons(),
          dueCrons: (limit: number) => engine.dueCrons(limit),
          fire,
        }
        const ticker = tickerOn(stage, timetable, remarks)
        // To the very tick, so that none follows within the test.
        await stage.ground.pass((await engine.dueCrons(1)).wakeIn!)
        await catchUp(ticker)
        expect(await engine.count({})).toBe(2)
        expect(remarks).toEqual(["cron entry bad cannot be fired: no room for it: left alone"])
        await stage.ground.pass(15_000)
        await catchUp(ticker)
        expect(await engine.count({})).toBe(3)
      })
    })

    test("a tick that comes while the last run is not over is skipped; the next one after its end is not", async () => {
      await onStage(harness, async (stage) => {
        await add(stage.engine, "x", plan("@every 1m", { overlap: "skip" }))
        const ticker = tickerOn(stage, stage.engine)
        const worker = await stage.worker()
        stage.ground.clock.pass(60_000)
        await catchUp(ticker)
        const claim = await worker.take()
        for (let n = 0; n < 3; n++) {
          stage.ground.clock.pass(60_000)
          await catchUp(ticker)
        }
        expect(await stage.engine.count({})).toBe(1)
        expect((await stage.engine.cron("x"))!.skipped).toBe(3)
        await worker.settle(completed(claim))
        stage.ground.clock.pass(60_000)
        await catchUp(ticker)
        expect(await stage.engine.count({})).toBe(2)
      })
    })

    test("an entry that this tq cannot read stays due, is told of once, and holds nobody up", async () => {
      await onStage(harness, async (stage) => {
        const { now } = await stage.engine.dueCrons(1)
        const newer = JSON.stringify({ ...JSON.parse(encodePlan(plan("@every 1m"))), v: 2 })
        await stage.engine.putCron("newer", undefined, { spec: newer, next: now - 1, paused: false })
        await stage.engine.putCron("broken", undefined, { spec: "{", next: now - 1, paused: false })
        await add(stage.engine, "good", plan("@every 1m"))
        const remarks: string[] = []
        const ticker = tickerOn(stage, stage.engine, remarks)
        for (let n = 1; n <= 3; n++) {
          stage.ground.clock.pass(60_000)
          await catchUp(ticker)
          expect(await stage.engine.count({})).toBe(n)
        }
        expect(remarks.sort()).toEqual([
          expect.stringContaining("cron entry broken cannot be read"),
          "cron entry newer cannot be read: written by another tq (version 2): left alone",
        ])
        expect((await stage.engine.cron("newer"))!.next).toBe(now - 1)
      })
    })

    test("a year of the daily report: generate_report at nine, every day, then send_email with what it gave", async () => {
      await onStage(harness, async (stage) => {
        const tz = "America/New_York"
        const template = {
          name: "generate_report",
          queue: "default",
          priority: 5,
          payload: '{"kind":"daily"}',
        }
        const begin = Date.parse("2026-11-20T12:00:00Z")
        stage.ground.clock.jump(begin - stage.ground.clock.now())
        await add(
          stage.engine,
          "report",
          plan("0 9 * * *", { schedule: { rule: "0 9 * * *", tz }, overlap: "skip", template }),
        )
        const tickers = [tickerOn(stage, stage.engine), tickerOn(stage, await stage.another())]
        const worker = await stage.worker()
        const generated: string[] = []
        const sent: string[] = []
        for (let day = 0; day < 365; day++) {
          const { wakeIn } = await stage.engine.dueCrons(1)
          stage.ground.clock.pass(wakeIn!)
          await worker.beat()
          await Promise.all(tickers.map(catchUp))
          const report = await worker.take()
          generated.push(`${report.record.name} ${zonedTime(tickOf(report.lease.id)!, tz).slice(0, 19)}`)
          const email = stage.task({
            id: `${report.lease.id}/send_email`,
            name: "send_email",
            after: [{ id: report.lease.id, on: "completed" }],
          })
          await worker.settle(spawning(completed(report, `{"day":${day}}`), email))
          const claim = await worker.take()
          const [parent] = await stage.engine.get([report.lease.id])
          sent.push(`${claim.record.name} ${parent!.state.result?.data}`)
          await worker.settle(completed(claim))
        }
        const days = Array.from({ length: 365 }, (_, day) =>
          new Date(Date.parse("2026-11-20") + day * 86_400_000).toISOString().slice(0, 10),
        )
        expect(generated).toEqual(days.map((day) => `generate_report ${day}T09:00:00`))
        expect(sent).toEqual(days.map((_, day) => `send_email {"day":${day}}`))
        expect(await stage.engine.count({ status: ["completed"] })).toBe(730)
        expect((await stage.engine.cron("report"))!.skipped).toBe(0)
      })
    })
  })
