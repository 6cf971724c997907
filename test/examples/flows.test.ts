/** The flows of examples/: they pass their check, and run. */
import { expect, test } from "bun:test"
import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"
import { LlmServer } from "../support/llm.ts"

const folder = join(import.meta.dir, "..", "..", "examples", "flows")

const example = (box: Sandbox, name: string): string => {
  copyFileSync(join(folder, name), box.path(name))
  return name
}

test("process-data, in YAML and in TypeScript: the same output", async () => {
  await using box = new Sandbox()
  const [yaml, script] = [example(box, "process-data.yaml"), example(box, "process-data.ts")]
  expect((await box.tq(["flow", "check", yaml, script])).code).toBe(0)
  await box.worker([script, "--no-scheduler"])
  const expected = '{"got":{"data":"loaded"}}'
  expect(await box.ok(["flow", "run", yaml, "--wait", "--quiet"])).toBe(expected)
  expect(await box.ok(["flow", "run", "process-data", "--wait", "--quiet"])).toBe(expected)
})

test("article: prompts carry what came before, a person has the last word", async () => {
  await using box = new Sandbox()
  await using server = new LlmServer((prompt) => {
    if (prompt.startsWith("Three section titles")) return '{"titles":["One","Two"]}'
    if (prompt.startsWith("Two paragraphs")) return `About ${/title (\w+)/.exec(prompt)?.[1]}.`
    return '{"good":true,"why":"it is"}'
  })
  const yaml = example(box, "article.yaml")
  await box.worker(["-c", "4"], { env: { OPENAI_BASE_URL: server.url } })
  const id = await box.ok(["flow", "run", yaml, "--input", '{"topic":"tea"}', "--quiet"])
  await waitFor(async () => (await box.json(["list", "--status", "waiting"])).length === 1)
  await box.ok(["flow", "approve", id, "publish"])
  expect(JSON.parse(await box.ok(["result", id, "--wait"]))).toBe("About One.\nAbout Two.")
  const prompts = server.asked.map(({ prompt }) => prompt)
  expect(prompts[0]).toBe("Three section titles for an article about tea.")
  expect(prompts.slice(1, 3).toSorted()).toEqual([
    "Two paragraphs under the title One, for an article about tea.",
    "Two paragraphs under the title Two, for an article about tea.",
  ])
  expect(prompts[3]).toContain('"text":"About One."')
})
