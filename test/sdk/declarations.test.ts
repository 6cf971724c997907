/** The declarations that editors read are those of the sources, and mean the same. */
import { describe, expect, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { declarations } from "../support/declarations.ts"
import { tempFolder } from "../support/temp.ts"

const root = join(import.meta.dir, "..", "..")
const tsc = join(root, "node_modules", ".bin", "tsc")
const template = (name: string) => readFileSync(join(root, "src", "templates", name), "utf8")

/** Compiles files where nothing is installed but, with `bun`, the types of Bun's tests. @returns what the compiler says */
async function compile(files: Readonly<Record<string, string>>, options: object = {}): Promise<string> {
  const folder = tempFolder()
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder.path, name), text)
    const config = JSON.parse(template("tsconfig.json.txt"))
    const compilerOptions = { ...config.compilerOptions, ...options }
    writeFileSync(join(folder.path, "tsconfig.json"), JSON.stringify({ ...config, compilerOptions }))
    const run = Bun.spawn([tsc, "-p", folder.path], { stdout: "pipe", cwd: folder.path })
    return await run.stdout.text()
  } finally {
    folder.remove()
  }
}

test("are written anew by: bun run types", async () => {
  for (const [path, text] of Object.entries(await declarations()))
    expect([path, readFileSync(join(root, path), "utf8")]).toEqual([path, text])
})

describe("beside handler files, where nothing is installed,", () => {
  const declared = { "tq.d.ts": template("tq.d.ts.txt") }

  test("they need nothing else", async () => {
    expect(await compile(declared, { skipLibCheck: false })).toBe("")
    // A program without a browser, checked as strictly as can be.
    const lib = ["ESNext"]
    const strict = {
      lib,
      skipLibCheck: false,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
    }
    const said = await compile(
      { ...declared, "a.ts": 'import { task } from "tq"\ntask({ name: "a" }, () => 1)\n' },
      strict,
    )
    expect(said.replaceAll(/.*AbortSignal.*\n/g, "")).toBe("")
  })

  test("the starter compiles", async () => {
    expect(await compile({ ...declared, "tasks.ts": template("tasks.ts.txt") })).toBe("")
  })

  test("what is inferred of tasks is what the sources say", async () => {
    const types = readFileSync(join(import.meta.dir, "types.ts"), "utf8")
    const bun = { types: ["bun-types"], typeRoots: [join(root, "node_modules")] }
    expect(await compile({ ...declared, "types.ts": types }, bun)).toBe("")
  })

  test("mistakes are found", async () => {
    const said = await compile({
      ...declared,
      "tasks.ts":
        'import { task } from "tq"\ntask({ name: "a", maxRetry: 3 }, (input: string) => input).push(7)\n',
    })
    expect(said).toContain("maxRetry")
    expect(said).toContain("tasks.ts(2,")
  })
})
