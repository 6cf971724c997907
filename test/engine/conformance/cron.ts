import { describe, expect } from "bun:test"
import type { CronDraft, CronEntry, Firing } from "../../../src/engine/engine.ts"
import { completed } from "../../support/outcomes.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

export function cronRules(suite: Suite): void {
  const rule = suite.needing("cron", "lookup")

  const draft = (more: Partial<CronDraft> = {}): CronDraft => ({
    spec: '{"rule":"@every 1m"}',
    paused: false,
    ...more,
  })

  /** An entry whose tick is due now. */
  const dueEntry = async (stage: Stage, name = "nightly"): Promise<CronEntry> => {
    const next = (await stage.engine.dueCrons(1)).now
    expect(await stage.engine.putCron(name, undefined, draft({ next }))).toBe("ok")
    return (await stage.engine.cron(name))!
  }

  /** A firing of the entry's tick, with one task. */
  const firing = (stage: Stage, entry: CronEntry, more: Partial<Firing> = {}): Firing => ({
    revision: entry.revision,
    tick: entry.next!,
    next: entry.next! + 60_000,
    tasks: [stage.task({ id: `cron:${entry.name}:${entry.revision}:${entry.next}` })],
    overlap: "skip",
    ...more,
  })

  describe("cron entries", () => {
    rule("are stored, listed by name, and come back verbatim", async ({ engine }) => {
      const spec = '{"text":"é", "big":12345678901234567890}'
      expect(await engine.putCron("b", undefined, draft({ spec, next: 5 }))).toBe("ok")
      expect(await engine.putCron("a", undefined, draft({ paused: true }))).toBe("ok")
      const entries = await engine.crons()
      expect(entries.map(({ name }) => name)).toEqual(["a", "b"])
      expect(entries[1]).toEqual({
        name: "b",
        revision: entries[1]!.revision,
        spec,
        next: 5,
        paused: false,
        lastTasks: [],
        skipped: 0,
      })
      expect(await engine.cron("a")).toEqual(entries[0])
      expect(await engine.cron("c")).toBeUndefined()
    })

    rule("change only for who knows the present revision, which rises each time", async ({ engine }) => {
      expect(await engine.putCron("x", 1, draft())).toBe("changed")
      expect(await engine.putCron("x", undefined, draft())).toBe("ok")
      const first = (await engine.cron("x"))!.revision
      expect(await engine.putCron("x", undefined, draft({ spec: "2" }))).toBe("changed")
      expect(await engine.putCron("x", first + 1, draft({ spec: "2" }))).toBe("changed")
      expect(await engine.putCron("x", first, draft({ spec: "2" }))).toBe("ok")
      const second = (await engine.cron("x"))!
      expect(second.spec).toBe("2")
      expect(second.revision).toBeGreaterThan(first)
    })

    rule("are removed, and a new one by that name has a higher revision", async ({ engine }) => {
      await engine.putCron("x", undefined, draft())
      const { revision } = (await engine.cron("x"))!
      expect(await engine.putCron("x", revision + 1, null)).toBe("changed")
      expect(await engine.putCron("x", revision, null)).toBe("ok")
      expect(await engine.cron("x")).toBeUndefined()
      expect(await engine.crons()).toEqual([])
      expect(await engine.putCron("x", revision, draft())).toBe("changed")
      expect(await engine.putCron("x", undefined, draft())).toBe("ok")
      expect((await engine.cron("x"))!.revision).toBeGreaterThan(revision + 1)
    })

    rule("that race for one name: one is stored", async (stage) => {
      const engines = [stage.engine, await stage.another(), await stage.another()]
      const answers = await Promise.all(
        engines.map((engine, i) => engine.putCron("x", undefined, draft({ spec: String(i) }))),
      )
      expect(answers.filter((answer) => answer === "ok")).toHaveLength(1)
      expect((await stage.engine.cron("x"))!.spec).toBe(String(answers.indexOf("ok")))
    })
  })

  describe("due ticks", () => {
    rule("are told soonest first, no more than asked for, with the time until the next", async (stage) => {
      const { engine } = stage
      const { now } = await engine.dueCrons(10)
      await engine.putCron("late", undefined, draft({ next: now }))
      await engine.putCron("later", undefined, draft({ next: now + 100 * stage.soon }))
      await engine.putCron("early", undefined, draft({ next: now - 1_000 }))
      await engine.putCron("paused", undefined, draft({ next: now - 2_000, paused: true }))
      await engine.putCron("ended", undefined, draft())
      const all = await engine.dueCrons(10)
      expect(all.due.map(({ name }) => name)).toEqual(["early", "late"])
      expect(all.wakeIn).toBeGreaterThan(50 * stage.soon)
      expect(all.wakeIn).toBeLessThanOrEqual(100 * stage.soon)
      const one = await engine.dueCrons(1)
      expect(one.due.map(({ name }) => name)).toEqual(["early"])
      expect(one.wakeIn).toBe(0)
    })

    rule("are none where nothing is planned", async ({ engine }) => {
      await engine.putCron("ended", undefined, draft())
      const { due, wakeIn } = await engine.dueCrons(10)
      expect(due).toEqual([])
      expect(wakeIn).toBeUndefined()
    })

    rule("are not told of entries that were removed", async (stage) => {
      const entry = await dueEntry(stage)
      await stage.engine.putCron(entry.name, entry.revision, null)
      expect((await stage.engine.dueCrons(10)).due).toEqual([])
      expect(await stage.engine.fire(entry.name, firing(stage, entry))).toBe("lost")
    })
  })

  describe("fire", () => {
    rule("pushes the tick's tasks and sets the next tick", async (stage) => {
      const entry = await dueEntry(stage)
      const shot = firing(stage, entry)
      expect(await stage.engine.fire(entry.name, shot)).toBe("fired")
      expect(await stage.status(shot.tasks[0]!.id)).toBe("pending")
      expect(await stage.engine.cron(entry.name)).toEqual({
        ...entry,
        next: shot.next!,
        lastTick: shot.tick,
        lastTasks: [shot.tasks[0]!.id],
      })
      expect((await stage.engine.dueCrons(10)).due).toEqual([])
    })

    rule("fires once among racers", async (stage) => {
      const entry = await dueEntry(stage)
      const engines = [stage.engine, await stage.another(), await stage.another(), await stage.another()]
      const answers = await Promise.all(
        engines.map((engine) => engine.fire(entry.name, firing(stage, entry))),
      )
      expect(answers.toSorted()).toEqual(["fired", "lost", "lost", "lost"])
      expect(await stage.engine.count({})).toBe(1)
    })

    rule("the last tick: there is no next", async (stage) => {
      const entry = await dueEntry(stage)
      const { next: _, ...last } = firing(stage, entry)
      expect(await stage.engine.fire(entry.name, last)).toBe("fired")
      expect((await stage.engine.cron(entry.name))!.next).toBeUndefined()
      expect((await stage.engine.dueCrons(10)).wakeIn).toBeUndefined()
    })

    rule("is lost with a stale revision, another tick, a paused or an unknown entry", async (stage) => {
      const entry = await dueEntry(stage)
      const { name, revision, next } = entry
      const fire = (more: Partial<Firing>, of = name) => stage.engine.fire(of, firing(stage, entry, more))
      expect(await fire({ revision: revision + 1 })).toBe("lost")
      expect(await fire({ revision: revision - 1 })).toBe("lost")
      expect(await fire({ tick: next! + 1 })).toBe("lost")
      expect(await fire({}, "nobody")).toBe("lost")
      await stage.engine.putCron(name, revision, draft({ next: next!, paused: true }))
      const paused = (await stage.engine.cron(name))!
      expect(await fire({ revision: paused.revision })).toBe("lost")
      expect(await stage.engine.count({})).toBe(0)
      expect(await stage.engine.cron(name)).toEqual(paused)
    })

    /** Fires twice, the first task being in some state. @returns the second answer and the state of the first task after it */
    const twice = async (stage: Stage, overlap: Firing["overlap"], done: boolean) => {
      const entry = await dueEntry(stage)
      const first = firing(stage, entry)
      await stage.engine.fire(entry.name, first)
      const worker = await stage.worker()
      const claim = await worker.take()
      if (done) await worker.settle(completed(claim))
      const present = (await stage.engine.cron(entry.name))!
      const answer = await stage.engine.fire(entry.name, firing(stage, present, { overlap }))
      const after = (await stage.engine.cron(entry.name))!
      expect(after.next).toBe(present.next! + 60_000)
      return { answer, status: await stage.status(first.tasks[0]!.id), before: present, after, claim, worker }
    }

    rule("skip: leaves a tick out while the last one's tasks are live, and counts it", async (stage) => {
      const { answer, status, before, after } = await twice(stage, "skip", false)
      expect([answer, status]).toEqual(["skipped", "running"])
      expect(after).toMatchObject({ skipped: 1, lastTick: before.lastTick, lastTasks: before.lastTasks })
      expect(await stage.engine.count({})).toBe(1)
    })

    for (const overlap of ["skip", "replace", "allow"] as const) {
      rule(`${overlap}: fires when the last one's tasks have ended`, async (stage) => {
        const { answer, status, after } = await twice(stage, overlap, true)
        expect([answer, status]).toEqual(["fired", "completed"])
        expect(after.skipped).toBe(0)
        expect(await stage.engine.count({})).toBe(2)
      })
    }

    rule("allow: fires beside it", async (stage) => {
      const { answer, status } = await twice(stage, "allow", false)
      expect([answer, status]).toEqual(["fired", "running"])
      expect(await stage.engine.count({})).toBe(2)
    })

    rule("replace: cancels what is still live, and its worker is told", async (stage) => {
      const { answer, status, claim, worker, after } = await twice(stage, "replace", false)
      expect([answer, status]).toEqual(["fired", "cancelled"])
      expect((await worker.beat()).cancelled).toEqual([claim.lease])
      expect((await worker.settle(completed(claim))).lost).toEqual([claim.lease])
      expect(await stage.statuses(after.lastTasks)).toEqual(["pending"])
    })

    rule("several tasks for the ticks that were missed: the last of them is remembered", async (stage) => {
      const entry = await dueEntry(stage)
      const tasks = [stage.task(), stage.task(), stage.task()]
      const last = entry.next! + 120_000
      expect(await stage.engine.fire(entry.name, firing(stage, entry, { tasks, last }))).toBe("fired")
      const ids = tasks.map(({ id }) => id)
      expect(await stage.statuses(ids)).toEqual(["pending", "pending", "pending"])
      expect(await stage.engine.cron(entry.name)).toMatchObject({ lastTick: last, lastTasks: ids })
    })

    for (const overlap of ["skip", "replace", "allow"] as const) {
      rule(`${overlap}: without tasks only the next tick changes, for one of the racers`, async (stage) => {
        const entry = await dueEntry(stage)
        const first = firing(stage, entry)
        await stage.engine.fire(entry.name, first)
        const before = (await stage.engine.cron(entry.name))!
        const pass = { ...firing(stage, before, { overlap }), tasks: [] }
        const engines = [stage.engine, await stage.another()]
        const answers = await Promise.all(engines.map((engine) => engine.fire(entry.name, pass)))
        expect(answers.toSorted()).toEqual(["lost", "skipped"])
        expect(await stage.engine.cron(entry.name)).toEqual({ ...before, next: pass.next! })
        expect(await stage.status(first.tasks[0]!.id)).toBe("pending")
      })
    }

    rule("pushes no task twice, though an id is there already", async (stage) => {
      const entry = await dueEntry(stage)
      const shot = firing(stage, entry)
      await stage.engine.push(shot.tasks)
      expect(await stage.engine.fire(entry.name, shot)).toBe("fired")
      expect(await stage.engine.count({})).toBe(1)
    })

    rule("wakes a worker that waits", async (stage) => {
      stage.ground.clock.flow()
      const entry = await dueEntry(stage)
      const worker = await stage.worker()
      const waiting = worker.wait(15_000)
      await Bun.sleep(20)
      const fired = performance.now()
      await (await stage.another()).fire(entry.name, firing(stage, entry))
      expect(await waiting).toBe("work")
      expect(performance.now() - fired).toBeLessThan(7_500)
    })
  })
}
