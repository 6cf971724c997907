/** tq flow and tq event, as their users call them. */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import { userName } from "../../src/users.ts"
import { type Sandbox, waitFor } from "../support/cli.ts"
import { StoreSandbox, storesAndBroker } from "../support/stores.ts"

const statusOf = async (box: Sandbox, run: string, step: string): Promise<string> =>
  (await box.json(["flow", "show", run]))[0]!.steps.find(({ id }: { id: string }) => id === step).status

const processData = `
name: process-data
steps:
  load_data:
    sh: echo '{"data":"loaded"}'
  process_data:
    needs: load_data
    run: [printf, '{"got":%s}', "{{ steps.load_data.output }}"]
`

describe.each(storesAndBroker)("%s", (store) => {
  test("process-data: the steps in order, the result printed", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("process.yaml", processData)
    await box.worker()
    const { code, stdout, stderr } = await box.tq(["flow", "run", "process.yaml", "--wait"])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '{"got":{"data":"loaded"}}\n' })
    const id = stderr.split("\n")[0]!
    const [run] = await box.json(["flow", "show", id])
    expect(run).toMatchObject({
      flow: "process-data",
      status: "completed",
      result: { got: { data: "loaded" } },
      steps: [
        { id: "load_data", status: "completed", output: { data: "loaded" } },
        {
          id: "process_data",
          status: "completed",
          needs: ["load_data"],
          output: { got: { data: "loaded" } },
        },
      ],
    })
    expect(await box.ok(["result", id])).toBe('{"got":{"data":"loaded"}}')
    const shown = await box.ok(["flow", "show", id])
    expect(shown).toMatch(/process-data {2}completed in /)
    expect(shown).toMatch(/● {2}load_data +completed {2}[\d.]+m?s\n● {2}process_data +completed {2}[\d.]+m?s/)
    const [listed] = await box.json(["flow", "list"])
    expect(listed).toMatchObject({ id, status: "completed" })
  })

  test("without --wait the id and nothing else; the same --id starts no second run", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("process.yaml", processData)
    const first = await box.tq(["flow", "run", "process.yaml", "--id", "mine"])
    expect(first).toMatchObject({ code: 0, stdout: "mine\n" })
    expect(first.stderr).toContain("no worker is running")
    const second = await box.tq(["flow", "run", "process.yaml", "--id", "mine"])
    expect(second).toMatchObject({ code: 0, stdout: "mine\n" })
    expect(second.stderr).toContain("already there")
    const other = await box.tq(["flow", "run", "process.yaml", "--id", "mine", "--input", "1"])
    expect(other.code).toBe(65)
    await box.ok(["work", "--until-empty", ...box.workFlags])
    expect((await box.json(["flow", "show", "mine"]))[0]).toMatchObject({ status: "completed", input: null })
  })

  test("of a run that was deleted, a later one of the same id takes nothing over", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("flow.yaml", "name: f\nsteps:\n  a: { sh: 'echo 1' }\n  b: { needs: a, sh: 'echo 2' }\n")
    await box.worker()
    const run = ["flow", "run", "flow.yaml", "--id", "mine", "--wait", "--quiet"]
    expect(await box.ok(run)).toBe("2")
    await box.ok(["delete", "mine", "mine/a", "--yes"])
    const again = await box.tq(run.slice(0, -1))
    expect([again.code, again.stderr]).toEqual([
      73,
      expect.stringContaining("run mine: the step mine/b of an earlier one is still there"),
    ])
    await box.ok(["delete", "mine/b", "--yes"])
    expect(await box.ok(run)).toBe("2")
  })

  test("input, environment and stdin of steps; they run where the flow file is", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flows/env.yaml",
      `
name: env
input: { who: ada, n: 1 }
steps:
  a: { run: [printf, "%s", "{{ input.who }}"] }
  b:
    needs: a
    sh: |
      test "$(pwd)" = "${box.path("flows")}"
      test "$TQ_STEP" = b
      test "$TQ_PARENTS" = '{"a":"grace"}'
      test "$TQ_INPUT" = '{"who":"grace","n":1,"more":1.10}'
      test "$(cat)" = '{"input":{"who":"grace","n":1,"more":1.10},"parents":{"a":"grace"}}'
      echo "$TQ_FLOW_ID"
`,
    )
    await box.worker()
    const { code, stdout, stderr } = await box.tq([
      "flow",
      "run",
      "flows/env.yaml",
      "--wait",
      "--input",
      '{"who":"grace","more":1.10}',
    ])
    const id = stderr.split("\n")[0]!
    expect({ code, stdout }).toEqual({ code: 0, stdout: `"${id}"\n` })
  })

  test("a failed step cancels what needs it, exit 1; resumed, only what has not completed runs", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flow.yaml",
      `
name: f
steps:
  a: { sh: echo a >> ran }
  b: { needs: a, sh: "echo b >> ran; echo no luck >&2; test -e fixed" }
  c: { needs: b, sh: "echo c >> ran; echo end" }
onFailure: { sh: 'echo "$TQ_FAILURE" > told' }
`,
    )
    await box.worker()
    const { code, stdout, stderr } = await box.tq(["flow", "run", "flow.yaml", "--wait"])
    const id = stderr.split("\n")[0]!
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toContain("step b failed: exit 1")
    expect(readFileSync(box.path("told"), "utf8")).toBe('{"step":"b","status":"failed","message":"exit 1"}\n')
    const shown = await box.ok(["flow", "show", id])
    expect(shown).toMatch(/✗ {2}b +failed .*exit 1/)
    expect(shown).toMatch(/⊘ {2}c +cancelled .*parent/)
    box.write("fixed", "")
    const resumed = await box.tq(["flow", "resume", id, "--wait"])
    expect(resumed).toMatchObject({ code: 0, stdout: '"end"\n' })
    expect(readFileSync(box.path("ran"), "utf8")).toBe("a\nb\nb\nc\n")
    expect((await box.tq(["flow", "resume", id])).code).toBe(65)
  })

  test("retries and timeouts are a step's own", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flow.yaml",
      `
name: f
steps:
  a: { sh: 'echo x >> tries; test $TQ_ATTEMPT = 3', retries: 2, backoff: 10ms }
  b: { needs: a, run: [sleep, 60], timeout: 200ms }
`,
    )
    await box.worker()
    const { code, stderr } = await box.tq(["flow", "run", "flow.yaml", "--wait"])
    expect(code).toBe(1)
    expect(stderr).toContain("step b failed: ran longer than 200ms")
    expect(readFileSync(box.path("tries"), "utf8")).toBe("x\nx\nx\n")
  })

  test("an approval: nothing runs, workers come and go, and who decided is on record", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flow.yaml",
      `
name: release
steps:
  build: { sh: echo built }
  ok: { needs: build, approve: { message: ship it?, notify: [sh, -c, 'echo "$1" > asked', sh, "{{ run }}"] } }
  ship: { needs: ok, run: [echo, "{{ steps.ok.output.by }}", "{{ steps.ok.output.comment }}"] }
`,
    )
    const id = await box.ok(["flow", "run", "flow.yaml", "--quiet"])
    const first = await box.worker()
    await waitFor(async () => (await statusOf(box, id, "ok")) === "waiting")
    expect(readFileSync(box.path("asked"), "utf8")).toBe(`${id}\n`)
    // As of its last beat.
    await waitFor(async () => (await box.json(["workers"]))[0]!.running === 0)
    await first.signal("SIGKILL")
    const second = await box.worker()
    await second.signal("SIGTERM")
    expect((await box.json(["flow", "show", id]))[0]).toMatchObject({ status: "running" })
    expect((await box.tq(["flow", "approve", id, "nope"])).code).toBe(66)
    expect((await box.tq(["flow", "approve", "nope", "ok"])).stderr).toMatch(/^tq: no run nope: /)
    expect((await box.tq(["flow", "approve", id, "build"])).code).toBe(65)
    await box.ok(["flow", "approve", id, "ok", "--comment", "looks good"])
    await box.worker()
    expect((await box.tq(["wait", id])).code).toBe(0)
    const who = `${userName()}@${hostname()}`
    expect((await box.task(`${id}/ship`)).result).toBe(`${who} looks good\n`)
    expect(JSON.parse(await box.ok(["result", `${id}/ok`]))).toMatchObject({ approved: true, by: who })
  })

  test("a denial fails the run; resumed, it asks again", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flow.yaml",
      "name: f\nsteps:\n  ok: { approve: { message: go? } }\n  b: { needs: ok, run: [touch, ran] }\n",
    )
    await box.worker()
    const id = await box.ok(["flow", "run", "flow.yaml"])
    await waitFor(async () => (await statusOf(box, id, "ok")) === "waiting")
    await box.ok(["flow", "deny", id, "ok", "-m", "not on a Friday"])
    expect((await box.tq(["wait", id])).code).toBe(1)
    expect((await box.json(["flow", "show", id]))[0]).toMatchObject({
      status: "failed",
      reason: expect.stringMatching(/^step ok failed: denied by .*: not on a Friday$/),
    })
    await box.ok(["flow", "resume", id])
    await waitFor(async () => (await statusOf(box, id, "ok")) === "waiting")
    const shown = await box.ok(["flow", "show", id])
    expect(shown).toContain("waiting  go?")
    expect(shown).not.toContain("denied")
    await box.ok(["flow", "approve", id, "ok"])
    expect((await box.tq(["wait", id])).code).toBe(0)
    expect(await box.ok(["flow", "show", id, "--json"])).not.toContain("denied")
  })

  test("cancel ends what runs and keeps the rest from running", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flow.yaml",
      `
name: f
steps:
  a: { map: "{{ input }}", run: [sleep, 600] }
  b: { needs: a, run: [touch, b] }
onFailure: { run: [touch, failed] }
`,
    )
    const worker = await box.worker(["-c", "2"])
    const id = await box.ok(["flow", "run", "flow.yaml", "--input", "[1,2,3,4]"])
    await waitFor(async () => (await box.json(["list", "--status", "running"])).length === 2)
    await box.ok(["flow", "cancel", id])
    await waitFor(() => worker.stderr.match(/its run was ended/g)?.length === 2)
    const statuses = (await box.json(["list"])).map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set(["cancelled"]))
    expect((await box.json(["flow", "show", id]))[0]).toMatchObject({ status: "cancelled" })
    expect((await box.sh("ls b failed")).code).toBe(2)
  })

  describe("nothing is pushed", () => {
    test("of a flow in which something is wrong", async () => {
      await using box = await StoreSandbox.on(store)
      box.write("flow.yaml", "name: f\nsteps:\n  a: { run: [x], needs: b }\n  b: { run: echo hi }\n")
      const { code, stdout, stderr } = await box.tq(["flow", "run", "flow.yaml"])
      expect({ code, stdout }).toEqual({ code: 65, stdout: "" })
      expect(stderr).toContain("flow.yaml:4:8: run: is a list, not a shell line: write sh: echo hi, or run:")
      expect(await box.json(["list"])).toEqual([])
      const checked = await box.tq(["flow", "check", "flow.yaml"])
      expect(checked.code).toBe(65)
      expect(checked.stdout).toStartWith("flow.yaml:4:8: run: is a list")
    })

    test("when no worker has the handler of a step", async () => {
      await using box = await StoreSandbox.on(store)
      box.write("flow.yaml", "name: f\nsteps:\n  a: { task: resize, with: { id: 7 } }\n")
      const worker = await box.worker()
      const { code, stderr } = await box.tq(["flow", "run", "flow.yaml"])
      expect(code).toBe(75)
      expect(stderr).toContain('step a: no worker on queue "default" has a handler for resize')
      expect(await box.json(["list"])).toEqual([])
      await worker.signal("SIGTERM")
      await box.worker([box.handler("resize", "cat; echo")])
      expect(await box.ok(["flow", "run", "flow.yaml", "--wait", "--quiet"])).toBe('{"id":7}')
    })

    test("of input that is no JSON, of a file that is not there", async () => {
      await using box = await StoreSandbox.on(store)
      box.write("process.yaml", processData)
      expect((await box.tq(["flow", "run", "process.yaml", "--input", "{"])).code).toBe(65)
      expect((await box.tq(["flow", "run", "nope.yaml"])).code).toBe(66)
      expect((await box.tq(["flow", "show", "nope"])).code).toBe(66)
      expect(await box.json(["list"])).toEqual([])
    })
  })

  describe("an input that its steps could do nothing with is refused", () => {
    const yaml = `
name: report
input: { day: monday }
steps:
  say: { run: [printf, "%s %s", "{{ input.day }}", "{{ input.size.width }}"] }
  each: { map: "{{ input.list }}", run: [printf, "%s", "{{ item }}"] }
  maybe: { if: "{{ input.more }}", run: [printf, "%s", "{{ input.more }}"] }
`
    const cases: readonly (readonly [given: string | undefined, complaint: string])[] = [
      ["7", 'tq: --input is a number: flow report takes an object, like {"day":"monday"}'],
      ["[]", 'tq: --input is an array: flow report takes an object, like {"day":"monday"}'],
      [
        undefined,
        `tq: step say needs input.size.width, which the input does not have: give --input '{"size":{"width":…}}'`,
      ],
      [
        '{"size":{"width":1}}',
        `tq: step each needs input.list, which the input does not have: give --input '{"list":…}'`,
      ],
      ['{"size":{"width":1},"list":{}}', "tq: step each: map: input.list is not an array in this input"],
    ]
    test("whatever is wrong with it", async () => {
      await using box = await StoreSandbox.on(store)
      box.write("report.yaml", yaml)
      for (const [given, complaint] of cases) {
        const input = given === undefined ? [] : ["--input", given]
        const { code, stdout, stderr } = await box.tq(["flow", "run", "report.yaml", ...input])
        expect([code, stdout, stderr.trim()]).toEqual([65, "", complaint])
      }
      const cron = ["cron", "add", "nightly", "0 9 * * *", "--flow", "report.yaml"]
      expect((await box.tq(cron)).code).toBe(65)
      expect(await box.json(["list"])).toEqual([])
      await box.worker()
      const fine = ["--input", '{"size":{"width":1.10},"list":[]}']
      const result = await box.ok(["flow", "run", "report.yaml", ...fine, "--wait", "--quiet"])
      expect(JSON.parse(result)).toEqual({ say: "monday 1.10", each: [], maybe: null })
    })
  })

  test("the starter runs, and passes its check", async () => {
    await using box = await StoreSandbox.on(store)
    expect(await box.ok(["flow", "init", "hello.yaml"])).toBe("hello.yaml\ntq-flow.schema.json")
    expect((await box.tq(["flow", "init", "hello.yaml"])).code).toBe(73)
    expect((await box.tq(["flow", "check", "hello.yaml"])).code).toBe(0)
    expect(JSON.parse(readFileSync(box.path("tq-flow.schema.json"), "utf8")).title).toBe("A flow of tq")
    await box.worker()
    expect(await box.ok(["flow", "run", "hello.yaml", "--wait", "--quiet"])).toBe(
      '{"greet":["hello ada","hello grace","hello edsger"]}',
    )
  })

  test("graph: a drawing, and Mermaid", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("process.yaml", processData)
    expect(await box.ok(["flow", "graph", "process.yaml"])).toBe("●  load_data\n●  process_data")
    expect(await box.ok(["flow", "graph", "process.yaml", "--mermaid"])).toBe(
      'flowchart TD\n  s0["load_data"]\n  s1["process_data"]\n  s0 --> s1',
    )
  })

  test("events: sent once, counted", async () => {
    await using box = await StoreSandbox.on(store)
    expect(await box.json(["event", "send", "deployed", '{"v":1}'])).toEqual([{ name: "deployed", woken: 0 }])
    expect((await box.tq(["event", "send", "approval:x"])).code).toBe(64)
    expect((await box.tq(["event", "send", "deployed", "{"])).code).toBe(65)
  })

  test("a flow at its times: each tick is a run", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("flow.yaml", 'name: tick\non: { cron: "@every 1s" }\nsteps:\n  a: { sh: echo "$TQ_CRON" }\n')
    await box.ok(["cron", "add", "ticking", "--flow", "flow.yaml"])
    await box.worker()
    await waitFor(async () => (await box.json(["flow", "list"])).some(({ status }) => status === "completed"))
    const [run] = (await box.json(["flow", "list"])).filter(({ status }) => status === "completed")
    expect(run).toMatchObject({ flow: "tick", steps: [{ id: "a", status: "completed" }] })
    expect(await box.ok(["result", run!.id])).toBe('"ticking"')
  })

  test("times that make no sense are found by the check", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("wrong.yaml", 'name: w\non: { cron: "61 * * * *", tz: Mars/Base }\nsteps:\n  a: { run: [x] }\n')
    const checked = await box.tq(["flow", "check", "wrong.yaml"])
    expect(checked.code).toBe(65)
    expect(checked.stdout).toMatch(/^wrong.yaml:2:7: bad schedule .*\nwrong.yaml:2:27: .*Mars\/Base.*\n$/)
  })

  test("resumed while other steps still run", async () => {
    await using box = await StoreSandbox.on(store)
    box.write(
      "flow.yaml",
      `
name: f
steps:
  slow: { sh: 'until test -e go; do sleep 0.02; done; echo slow' }
  bad: { sh: 'test -e fixed' }
  after: { needs: bad, sh: echo after }
`,
    )
    await box.worker(["-c", "2"])
    const id = await box.ok(["flow", "run", "flow.yaml", "--quiet"])
    await waitFor(async () => (await statusOf(box, id, "after")) === "cancelled")
    box.write("fixed", "")
    await box.ok(["flow", "resume", id])
    await waitFor(async () => (await statusOf(box, id, "after")) === "completed")
    expect((await box.json(["flow", "show", id]))[0]).toMatchObject({ status: "running" })
    box.write("go", "")
    expect((await box.tq(["wait", id])).code).toBe(0)
    expect(JSON.parse(await box.ok(["result", id]))).toEqual({ slow: "slow", after: "after" })
  })

  test("a step that is retried by hand runs on with what needs it; flow resume then ends the run", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("flow.yaml", "name: f\nsteps:\n  a: { sh: test -e fixed }\n  b: { needs: a, sh: echo b }\n")
    await box.worker()
    const { stderr } = await box.tq(["flow", "run", "flow.yaml", "--wait"])
    const id = stderr.split("\n")[0]!
    box.write("fixed", "")
    await box.ok(["retry", `${id}/a`])
    await waitFor(async () => (await statusOf(box, id, "b")) === "completed")
    expect(await box.ok(["flow", "resume", id, "--wait", "--quiet"])).toBe('"b"')
  })
})
