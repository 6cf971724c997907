/** Whole runs, played without processes: what runs, in which order, and what becomes of the rest. */
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { type Plan, parentsOf, type Step, stepTaskId } from "../../src/core/flow.ts"
import { decide } from "../../src/flow/approve.ts"
import { cancelRun, resumeRun } from "../../src/flow/change.ts"
import { runTask } from "../../src/flow/expand.ts"
import { lookAtRun } from "../../src/flow/look.ts"
import { readFlowText } from "../../src/flow/yaml.ts"
import { stores } from "../support/stores.ts"
import { Crew, type Played } from "./crew.ts"

const planOf = (yaml: string): Plan => {
  const { document, complaints } = readFlowText(yaml, "flow.yaml", "/tmp") as {
    document?: { plan: Plan }
    complaints?: unknown
  }
  if (!document) throw new Error(JSON.stringify(complaints))
  return document.plan
}

const start = (crew: Crew, plan: Plan, input = "null", id = "run") =>
  crew.push(runTask(plan, { id, input, queue: "default", priority: 5, createdAt: crew.clock.now() }))

const echo: Step["work"] = { kind: "command", argv: ["true"], cwd: "/" }

/** A graph of up to 200 steps, each with parents among those before it, and the steps that fail. */
const graphs = fc
  .integer({ min: 1, max: 200 })
  .chain((size) =>
    fc.record({
      parents: fc.tuple(
        ...Array.from({ length: size }, (_, at) =>
          fc.uniqueArray(fc.nat({ max: Math.max(0, at - 1) }), { maxLength: at === 0 ? 0 : Math.min(4, at) }),
        ),
      ),
      fails: fc.uniqueArray(fc.nat({ max: size - 1 }), { maxLength: 3 }),
      seed: fc.nat(),
    }),
  )
  .map(({ parents, fails, seed }) => ({
    seed,
    fails: new Set(fails.map((at) => `s${at}`)),
    plan: {
      name: "random",
      steps: parents.map(
        (some, at): Step => ({ id: `s${at}`, needs: some.map((parent) => `s${parent}`), work: echo }),
      ),
    } satisfies Plan,
  }))

/** Steps that have a failed step among their ancestors. */
function doomed(plan: Plan, fails: ReadonlySet<string>): Set<string> {
  const lost = new Set<string>()
  for (const step of plan.steps) {
    if (parentsOf(step).some((id) => fails.has(id) || lost.has(id))) lost.add(step.id)
  }
  return lost
}

function chooser(seed: number): (count: number) => number {
  let state = seed + 1
  return (count) => {
    state = (state * 48_271) % 2_147_483_647
    return state % count
  }
}

describe.each(stores)("%s", (store) => {
  test("any graph: every step runs once, after its parents; exactly those behind a failure are cancelled; resumed, all complete", async () => {
    await fc.assert(
      fc.asyncProperty(graphs, async ({ plan, fails, seed }) => {
        await using crew = await Crew.gather(store)
        await start(crew, plan)
        const done = new Set<string>()
        const play =
          (bad: ReadonlySet<string>) =>
          (claim: { lease: { id: string } }): Played => {
            const id = claim.lease.id.replace("run/", "")
            const step = plan.steps.find((other) => other.id === id)!
            expect(done.has(id)).toBe(false)
            for (const parent of step.needs) expect(done.has(parent)).toBe(true)
            if (bad.has(id)) return { fails: "as told" }
            done.add(id)
            return { output: `"${id}"` }
          }
        await crew.work(play(fails), chooser(seed))
        const lost = doomed(plan, fails)
        const ids = plan.steps.map(({ id }) => stepTaskId("run", id))
        expect(await crew.statuses(ids)).toEqual(
          plan.steps.map(({ id }) => (lost.has(id) ? "cancelled" : fails.has(id) ? "failed" : "completed")),
        )
        expect(await crew.statuses(["run"])).toEqual([fails.size > 0 ? "failed" : "completed"])
        if (fails.size === 0) return
        await resumeRun(crew.engine, await lookAtRun(crew.engine, "run"))
        await crew.work(play(new Set()), chooser(seed))
        expect(await crew.statuses(["run", ...ids])).toEqual(["run", ...ids].map(() => "completed"))
        expect(done.size).toBe(plan.steps.length)
      }),
      { numRuns: 25 },
    )
  })

  test("a cancelled run runs nothing more, whenever it is cancelled", async () => {
    await fc.assert(
      fc.asyncProperty(graphs, fc.nat({ max: 100 }), async ({ plan, seed }, turns) => {
        await using crew = await Crew.gather(store)
        await start(crew, plan)
        await crew.work(() => ({ output: "1" }), chooser(seed), turns)
        const before = crew.ran.length
        await cancelRun(crew.engine, await lookAtRun(crew.engine, "run"))
        await crew.work(() => ({ output: "1" }), chooser(seed))
        expect(crew.ran.length).toBe(before)
        const run = await lookAtRun(crew.engine, "run")
        const open = run.steps.filter(({ stored }) => stored && stored.state.finishedAt === undefined)
        expect(open).toEqual([])
      }),
      { numRuns: 15 },
    )
  })

  test("cancelled, resumed, retried at any moment, by whoever looked long ago: nothing hangs, and resumed all complete", async () => {
    const plan = planOf(`
name: f
steps:
  list: { run: [x] }
  side: { run: [x] }
  each: { needs: list, map: "{{ steps.list.output }}", run: [x] }
  join: { needs: [each, side], run: [x] }
  last: { needs: join, run: [x] }
onFailure: { run: [x] }
`)
    const ids = ["run", ...plan.steps.map(({ id }) => stepTaskId("run", id))]
    const act = fc.constantFrom(
      "nothing",
      "look",
      "cancel",
      "resume",
      "retry one",
      "cancel one",
      "fail",
      "fail",
    )
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 30 }), fc.nat(), async (acts, seed) => {
        await using crew = await Crew.gather(store)
        const { engine } = crew
        await start(crew, plan)
        const choose = chooser(seed)
        let seen: Awaited<ReturnType<typeof lookAtRun>> | undefined
        const ahead = [...acts]
        const meddle = async (): Promise<boolean> => {
          const next = ahead.shift()
          const one = ids[choose(ids.length)]!
          if (next === "look") seen = await lookAtRun(engine, "run")
          if (next === "cancel") await cancelRun(engine, seen ?? (await lookAtRun(engine, "run")))
          if (next === "resume")
            await resumeRun(engine, seen ?? (await lookAtRun(engine, "run"))).catch(() => 0)
          if (next === "retry one") await engine.revise({ ids: [one] }, { kind: "retry" })
          if (next === "cancel one") await engine.revise({ ids: [one] }, { kind: "cancel", reason: "asked" })
          return next === "fail"
        }
        const play = async (): Promise<Played> =>
          (await meddle()) ? { fails: "as told" } : { output: "[1, 2, 3]" }
        while (ahead.length > 0) {
          await crew.work(play, choose, choose(9))
          await meddle()
        }
        for (let resumes = 0; resumes < 5; resumes++) {
          await crew.work(() => ({ output: "[1, 2, 3]" }), choose)
          const live = { status: ["blocked", "pending", "running", "scheduled", "waiting"] } as const
          expect(await engine.count(live)).toBe(0)
          const run = await lookAtRun(engine, "run")
          if (run.row.state.status === "completed") break
          await resumeRun(engine, run)
        }
        expect(await crew.statuses(ids)).toEqual(ids.map(() => "completed"))
      }),
      { numRuns: 25 },
    )
  })

  test("a run that is cancelled as a task brings no further step to run", async () => {
    await using crew = await Crew.gather(store)
    await start(crew, planOf("name: f\nsteps:\n  a: { run: [x] }\n  b: { needs: a, run: [x] }\n"))
    await crew.work(
      () => ({ output: "1" }),
      () => 0,
      2,
    )
    await crew.engine.revise({ ids: ["run"] }, { kind: "cancel", reason: "cancelled" })
    await crew.work(() => ({ output: "1" }))
    expect(crew.ran).toEqual(["run/a"])
    expect((await crew.engine.get(["run/b"]))[0]!.state).toMatchObject({
      status: "cancelled",
      reason: "its run was cancelled",
    })
  })

  test("outputs and input reach the steps, verbatim", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(`
name: f
steps:
  load: { run: [load] }
  use:
    needs: load
    run: [use, "{{ steps.load.output.rows[1] }}", "--n={{ steps.load.output.n }}", "{{ input.name }}", "{{ input }}"]
  tell:
    needs: use
    task: tell
    with: { text: "n is {{ steps.load.output.n }}", n: "{{ steps.load.output.n }}", all: "{{ steps.use.output }}", fixed: [1, null] }
`)
    await start(crew, plan, '{"name":"ada \\" $(x)","n":1.10}')
    const seen: Record<string, unknown> = {}
    await crew.work((claim, { task, variables }) => {
      const step = claim.record.flow!.step
      seen[step] = { argv: task.command?.argv, payload: task.payload, variables }
      return { output: step === "load" ? '{"rows":["a","b c"],"n":12345678901234567890}\n' : "plain\n" }
    })
    expect(seen.use).toMatchObject({
      argv: ["use", "b c", "--n=12345678901234567890", 'ada " $(x)', '{"name":"ada \\" $(x)","n":1.10}'],
      variables: {
        TQ_INPUT: '{"name":"ada \\" $(x)","n":1.10}',
        TQ_PARENTS: '{"load":{"rows":["a","b c"],"n":12345678901234567890}}',
      },
    })
    expect(seen.tell).toMatchObject({
      payload: '{"text":"n is 12345678901234567890","n":12345678901234567890,"all":"plain","fixed":[1,null]}',
    })
    expect((await crew.engine.get(["run"]))[0]!.state.result?.data).toBe('"plain"')
  })

  test("a value that is not there fails the step for good, and says which", async () => {
    await using crew = await Crew.gather(store)
    await start(crew, planOf(`name: f\nsteps:\n  a: { run: [x, "{{ input.nope }}"], retries: 5 }\n`), "{}")
    await crew.work(() => ({ output: "1" }))
    const run = await lookAtRun(crew.engine, "run")
    expect(run.status).toBe("failed")
    expect(run.row.state.failures.at(-1)?.message).toBe("step a failed: input.nope is not there")
    expect(crew.ran).toEqual([])
  })

  test("conditions skip steps, and what needs a skipped step runs", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(`
name: f
steps:
  a: { run: [x] }
  b: { needs: a, if: "{{ steps.a.output.n }} > 3 && {{ input.kind }} == 'full'", run: [x] }
  c: { needs: a, if: "!{{ steps.a.output.nope }}", run: [x] }
  d: { needs: [b, c], run: [x, "{{ steps.b.output }}"] }
`)
    await start(crew, plan, '{"kind":"full"}')
    let last: unknown
    await crew.work((_, { task }) => {
      last = task.command?.argv
      return { output: '{"n":3}' }
    })
    expect(crew.ran).toEqual(["run/a", "run/c", "run/d"])
    expect(last).toEqual(["x", "null"])
    expect((await crew.engine.get(["run/b"]))[0]!.state).toMatchObject({ status: "completed" })
  })

  test("onFailure runs once when a step has failed, is told which, and the run has failed all the same", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(`
name: f
steps:
  a: { run: [x] }
  b: { needs: a, run: [x] }
onFailure: { run: [tell, "{{ failure.step }}", "{{ failure.message }}"] }
`)
    await start(crew, plan)
    const told: unknown[] = []
    const play =
      (fail: boolean) =>
      (claim: { lease: { id: string } }, { task }: { task: { command?: { argv: readonly string[] } } }) => {
        if (claim.lease.id === "run/onFailure") told.push(task.command?.argv)
        return fail && claim.lease.id === "run/a" ? { fails: "exit 3" } : { output: "1" }
      }
    await crew.work(play(true))
    expect(told).toEqual([["tell", "a", "exit 3"]])
    expect(await crew.statuses(["run", "run/a", "run/b", "run/onFailure"])).toEqual([
      "failed",
      "failed",
      "cancelled",
      "completed",
    ])
    await resumeRun(crew.engine, await lookAtRun(crew.engine, "run"))
    await crew.work(play(false))
    expect(told).toHaveLength(1)
    expect(await crew.statuses(["run", "run/a", "run/b", "run/onFailure"])).toEqual(
      Array(4).fill("completed"),
    )
  })

  test("map: once for each item, and the outputs in their order", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(`
name: f
steps:
  list: { run: [x] }
  each: { needs: list, map: "{{ steps.list.output.names }}", run: [x, "{{ item.n }}", "{{ index }}"] }
  join: { needs: each, run: [x, "{{ steps.each.output }}"] }
`)
    await start(crew, plan)
    const argvs: unknown[] = []
    await crew.work((claim, { task, variables }) => {
      argvs.push(task.command?.argv)
      if (claim.record.flow!.step === "list") return { output: '{"names":[{"n":"a"},{"n":"b"},{"n":1.10}]}' }
      return { output: JSON.stringify(variables.TQ_INDEX ?? "end") }
    }, chooser(5))
    expect(argvs.toSorted()).toEqual([
      ["x"],
      ["x", "1.10", "2"],
      ["x", '["0","1","2"]'],
      ["x", "a", "0"],
      ["x", "b", "1"],
    ])
    expect(await crew.statuses(["run"])).toEqual(["completed"])
  })

  test("map: failed items fail the step; resumed, only they run again", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(`name: f\nsteps:\n  each: { map: "{{ input }}", run: [x, "{{ item }}"] }\n`)
    await start(crew, plan, JSON.stringify(Array.from({ length: 2_500 }, (_, n) => n)))
    await crew.work((claim) => (/\/(7|2400)$/.test(claim.lease.id) ? { fails: "no" } : { output: "1" }))
    const run = await lookAtRun(crew.engine, "run")
    expect(run.row.state.failures.at(-1)?.message).toBe(
      "step each failed: 2 of 2500 items failed: item 7: no",
    )
    crew.ran.length = 0
    await resumeRun(crew.engine, run)
    await crew.work(() => ({ output: "2" }))
    expect(crew.ran.toSorted()).toEqual(["run/each/2400", "run/each/7"])
    expect(await crew.statuses(["run"])).toEqual(["completed"])
  })

  test("map over nothing, and over what is no array", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(`name: f\nsteps:\n  each: { map: "{{ input }}", run: [x] }\n`)
    await start(crew, plan, "[]", "empty")
    await start(crew, plan, '{"a":1}', "bad")
    await crew.work(() => ({ output: "1" }))
    expect(await crew.statuses(["empty", "bad"])).toEqual(["completed", "failed"])
    expect((await crew.engine.get(["empty"]))[0]!.state.result?.data).toBe("[]")
  })

  test("an approval holds no slot until it comes; a denial fails, and resumed it asks again", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(
      `name: f\nsteps:\n  ok: { approve: { message: go? } }\n  b: { needs: ok, run: [x, "{{ steps.ok.output.by }}"] }\n`,
    )
    await start(crew, plan)
    const play = () => ({ output: "1" })
    await crew.work(play)
    expect(await crew.statuses(["run/ok"])).toEqual(["waiting"])
    const { engine } = crew
    // Two at once: the second finds that nobody waits any more, and is told so.
    const saw = await engine.get(["run/ok", "run"])
    const late: Parameters<typeof decide>[0] = { get: async () => saw, send: (event) => engine.send(event) }
    await decide(engine, "run", "ok", { approved: false, by: "eve", comment: "no", at: 1 })
    await expect(decide(late, "run", "ok", { approved: true, by: "bob", at: 1 })).rejects.toThrow(
      "waits for no decision any more",
    )
    await crew.work(play)
    const run = await lookAtRun(crew.engine, "run")
    expect(run.row.state.failures.at(-1)?.message).toBe("step ok failed: denied by eve: no")
    await resumeRun(crew.engine, run)
    await crew.work(play)
    expect(await crew.statuses(["run", "run/ok"])).toEqual(["blocked", "waiting"])
    await decide(crew.engine, "run", "ok", { approved: true, by: "ada", at: 2 })
    await crew.work(play)
    expect(await crew.statuses(["run", "run/ok", "run/b"])).toEqual(["completed", "completed", "completed"])
    await expect(decide(crew.engine, "run", "ok", { approved: true, by: "ada", at: 3 })).rejects.toThrow(
      /waits for no decision: it is completed/,
    )
  })

  test("an approval that nobody gives in time fails", async () => {
    await using crew = await Crew.gather(store)
    await start(crew, planOf("name: f\nsteps:\n  ok: { approve: { timeout: 2h } }\n"))
    await crew.work(() => ({ output: "1" }))
    crew.clock.pass(7_200_001)
    await crew.work(() => ({ output: "1" }))
    const run = await lookAtRun(crew.engine, "run")
    expect(run.row.state.failures.at(-1)?.message).toBe("step ok failed: nobody decided within 2h")
  })

  test("people are told of an approval to be given, and their being told does not matter to the run", async () => {
    await using crew = await Crew.gather(store)
    const plan = planOf(
      `name: f\nsteps:\n  a: { run: [x] }\n  ok: { needs: a, approve: { notify: [mail, "{{ run }}"] } }\n`,
    )
    await start(crew, plan)
    let told: unknown
    await crew.work((claim, { task }) => {
      if (claim.lease.id !== "run/ok.notify") return { output: "1" }
      told = task.command?.argv
      return { fails: "no mail here" }
    })
    expect(told).toEqual(["mail", "run"])
    await decide(crew.engine, "run", "ok", { approved: true, by: "ada", at: 2 })
    await crew.work(() => ({ output: "1" }))
    expect(await crew.statuses(["run", "run/ok", "run/ok.notify"])).toEqual([
      "completed",
      "completed",
      "failed",
    ])
  })

  test("a plan of more than a thousand steps comes into being whole", async () => {
    await using crew = await Crew.gather(store)
    const steps = Array.from(
      { length: 1_200 },
      (_, at): Step => ({ id: `s${at}`, needs: at % 50 === 0 ? [] : [`s${at - 1}`], work: echo }),
    )
    await start(crew, { name: "big", steps })
    await crew.work(() => ({ output: "1" }))
    expect(crew.ran).toHaveLength(1_200)
    expect(await crew.statuses(["run"])).toEqual(["completed"])
  })

  test("a command that only the note of a step speaks of is never run: it was permitted to nobody", async () => {
    await using crew = await Crew.gather(store)
    await start(crew, planOf("name: f\nsteps:\n  a: { run: [x] }\n"))
    await crew.push({
      id: "run/b",
      name: "innocent",
      queue: "default",
      priority: 0,
      createdAt: crew.clock.now(),
      payload: "null",
      flow: { run: "run", step: "b" },
      step: { needs: [], work: { kind: "command", argv: ["rm", "-rf", "/"], cwd: "/" } },
    })
    await crew.work(() => ({ output: "1" }))
    expect(crew.ran).toEqual(["run/a"])
    const [forged] = await crew.engine.get(["run/b"])
    expect(forged!.state.failures.at(-1)?.message).toBe("its flow step is malformed")
  })
})
