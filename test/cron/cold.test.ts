/** A push in a shell loop pays for nothing that it does not need. */
import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"

/** What loading a file loads, itself and all that it imports, but not what it imports when it is needed. */
function loadedBy(entry: string): Set<string> {
  const loaded = new Set<string>()
  const rest = [resolve(import.meta.dir, "..", "..", entry)]
  for (let file = rest.pop(); file !== undefined; file = rest.pop()) {
    if (loaded.has(file)) continue
    loaded.add(file)
    if (!existsSync(file) || !/\.tsx?$/.test(file)) continue
    const { imports } = new Bun.Transpiler({ loader: "ts" }).scan(readFileSync(file, "utf8"))
    for (const { kind, path } of imports) {
      if (kind === "import-statement") rest.push(path.startsWith(".") ? join(dirname(file), path) : path)
    }
  }
  return loaded
}

test("push loads neither croner nor anything else of cron, and no server's client", () => {
  const loaded = [...loadedBy("src/main.ts"), ...loadedBy("commands/push.ts")]
  expect(loaded.some((path) => path.endsWith("src/producer/draft.ts"))).toBe(true)
  expect(loaded.filter((path) => /croner|src\/cron\/|ioredis|amqplib|src\/worker\//.test(path))).toEqual([])
})

test("the walk finds what is loaded", () => {
  expect([...loadedBy("commands/cron/add.ts")]).toContain("croner")
})
