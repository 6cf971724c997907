/** Steps that ask a language model, against a server of our own. */
import { expect, test } from "bun:test"
import { Sandbox, waitFor } from "../support/cli.ts"
import { LlmServer } from "../support/llm.ts"

const flow = (box: Sandbox, steps: string): string => box.write("flow.yaml", `name: ai\nsteps:\n${steps}`)

const environment = (server: LlmServer) => ({ OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "secret-key" })

test("a pipeline: each prompt carries what the steps before it came to; token counts are kept", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  flow(
    box,
    `
  fetch: { sh: 'echo "the article"' }
  summarise:
    needs: fetch
    llm: { model: echo, system: "Be brief.", prompt: "Summarise: {{ steps.fetch.output }}", maxTokens: 200 }
  rate:
    needs: summarise
    llm:
      model: json
      prompt: "Rate: {{ steps.summarise.output.text }}"
      json: { type: object, required: [title, score], properties: { title: { type: string }, score: { type: integer } } }
  report:
    needs: [summarise, rate]
    run: [echo, "{{ steps.rate.output.json.score }}", "{{ steps.summarise.output.usage.total }}"]
`,
  )
  await box.worker([], { env: environment(server) })
  const { code, stdout, stderr } = await box.tq(["flow", "run", "flow.yaml", "--wait"])
  expect({ code, stdout }).toEqual({ code: 0, stdout: '"7 15"\n' })
  expect(server.asked).toMatchObject([
    {
      model: "echo",
      prompt: "Summarise: the article",
      system: "Be brief.",
      authorization: "Bearer secret-key",
      maxTokens: 200,
    },
    { model: "json", prompt: "Rate: echo: Summarise: the article", format: { type: "json_schema" } },
  ])
  const [run] = await box.json(["flow", "show", stderr.split("\n")[0]!])
  expect(run!.steps[1].output).toEqual({
    text: "echo: Summarise: the article",
    model: "test-model-1",
    usage: { prompt: 11, completion: 4, total: 15 },
  })
  expect(run!.steps[2].output.json).toEqual({ title: "ok", score: 7 })
})

test("tokens arrive while the answer is still being made", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  flow(box, `  a: { llm: { model: slow, prompt: hello } }\n`)
  await box.worker([], { env: environment(server) })
  const id = await box.ok(["flow", "run", "flow.yaml", "--quiet"])
  await waitFor(() => server.isHolding)
  const logs = box.start(["logs", `${id}/a`, "-f"])
  await logs.says(/^first /, "stdout")
  expect(logs.stdout).not.toContain("second")
  server.goOn()
  await logs.says(/second/, "stdout")
  await waitFor(() => {
    server.goOn()
    return !server.isHolding
  })
  expect((await box.tq(["wait", id])).code).toBe(0)
})

test("a busy endpoint is asked again after its Retry-After, and no retry is charged; a broken one likewise", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  flow(
    box,
    `  a: { llm: { model: busy, prompt: x }, retries: 0 }\n  b: { llm: { model: broken, prompt: x }, retries: 0 }\n`,
  )
  await box.worker([], { env: environment(server) })
  const { code, stdout, stderr } = await box.tq(["flow", "run", "flow.yaml", "--wait"])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ a: { text: "after 3" }, b: { text: "mended" } })
  const times = server.of("busy").map(({ at }) => at)
  expect(times[1]! - times[0]!).toBeGreaterThan(290)
  expect(times[2]! - times[1]!).toBeGreaterThan(290)
  const id = stderr.split("\n")[0]!
  expect(await box.task(`${id}/a`)).toMatchObject({ retryCount: 0, postponements: 2, failureCount: 0 })
})

test("malformed JSON, a schema that does not fit and an answer that breaks off are failures, and retried", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  const retried = "retries: 1, backoff: 10ms"
  flow(
    box,
    `
  a: { llm: { model: malformed, prompt: x, json: true }, ${retried} }
  b: { llm: { model: cut, prompt: x }, ${retried} }
`,
  )
  await box.worker([], { env: environment(server) })
  expect((await box.tq(["flow", "run", "flow.yaml", "--wait"])).code).toBe(0)
  expect([server.of("malformed").length, server.of("cut").length]).toEqual([2, 2])
  flow(
    box,
    `  c: { llm: { model: json, prompt: wrong, json: { type: object, properties: { title: { type: string } } } }, ${retried} }\n`,
  )
  const failed = await box.tq(["flow", "run", "flow.yaml", "--wait"])
  expect(failed.code).toBe(1)
  expect(failed.stderr).toContain(
    "step c failed: llm: the answer does not fit its schema: answer/title must be string",
  )
  expect(server.of("json").length).toBe(2)
})

test("a refusal is final; a hang hits the step's timeout", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  await box.worker([], { env: environment(server) })
  flow(box, `  a: { llm: { model: refuse, prompt: x } }\n`)
  const refused = await box.tq(["flow", "run", "flow.yaml", "--wait"])
  expect(refused.stderr).toContain("step a failed: llm: 401 bad key")
  expect(server.of("refuse").length).toBe(1)
  flow(box, `  a: { llm: { model: hang, prompt: x }, timeout: 300ms, retries: 0 }\n`)
  const hung = await box.tq(["flow", "run", "flow.yaml", "--wait"])
  expect(hung.stderr).toContain("step a failed: ran longer than")
})

test("the key is the worker's: a file will do, commands never see it, and without any nobody serves the step", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  flow(
    box,
    `
  a: { llm: { model: echo, prompt: x } }
  b: { needs: a, sh: 'env | grep -c OPENAI || true' }
`,
  )
  const plain = await box.worker()
  const refused = await box.tq(["flow", "run", "flow.yaml"])
  expect(refused.code).toBe(75)
  expect(refused.stderr).toContain("has a handler for tq:llm")
  await plain.signal("SIGTERM")
  const key = box.write("key", "from-a-file\n")
  await box.worker([], { env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY_FILE: key } })
  expect(await box.ok(["flow", "run", "flow.yaml", "--wait", "--quiet"])).toBe("0")
  expect(server.asked[0]!.authorization).toBe("Bearer from-a-file")
})

test("ctx.llm in a handler: the same, and its tokens in the task's stream", async () => {
  await using server = new LlmServer()
  await using box = new Sandbox()
  const path = box.write(
    "ai.ts",
    `
import { workflow } from "tq"
const wf = workflow<{ topic: string }>({ name: "essay" })
const outline = wf.task({ name: "outline", fn: async ({ topic }, ctx) => (await ctx.llm({ model: "echo", prompt: "outline " + topic })).text })
wf.task({ name: "write", parents: [outline], fn: async (_, ctx) => {
  const answer = await ctx.llm({ model: "json", prompt: "write " + (await ctx.parentOutput(outline)), json: true })
  return answer.json
} })`,
  )
  await box.worker([path], { env: environment(server) })
  const { stdout, stderr } = await box.tq(["flow", "run", "essay", "--wait", "--input", '{"topic":"tea"}'])
  expect(stdout).toBe('{"title":"ok","score":7}\n')
  expect(server.asked[1]!.prompt).toBe("write echo: outline tea")
  expect(await box.ok(["logs", `${stderr.split("\n")[0]}/outline`])).toBe("echo: outline tea")
})
