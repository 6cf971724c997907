import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { checkQueueName, checkTaskName, commandName, globMatches, isTaskName } from "../../src/core/name.ts"

/** What a glob means, without cleverness. */
function matches(glob: string, name: string): boolean {
  const [head, ...rest] = [...glob]
  const others = rest.join("")
  const [first, ...more] = [...name]
  if (head === undefined) return first === undefined
  if (head === "*") return matches(others, name) || (first !== undefined && matches(glob, more.join("")))
  return first !== undefined && (head === "?" || head === first) && matches(others, more.join(""))
}

describe("globs", () => {
  const letters = fc.string({
    unit: fc.constantFrom("a", "b", ".", "[", "]", "^", "$", "(", "\\", "|", "+", "\n", "é"),
    maxLength: 6,
  })
  const globs = fc.string({
    unit: fc.constantFrom("a", "b", ".", "[", "]", "^", "\\", "|", "+", "*", "?", "*"),
    maxLength: 6,
  })

  test("`*` is any run, `?` any one character, everything else itself", () => {
    fc.assert(
      fc.property(globs, letters, (glob, name) => {
        expect([glob, name, globMatches(glob, name)]).toEqual([glob, name, matches(glob, name)])
      }),
      { numRuns: 5_000 },
    )
  })

  test("a name without wildcards matches itself alone", () => {
    fc.assert(
      fc.property(letters, letters, (a, b) => {
        expect(globMatches(a, a)).toBe(true)
        expect(globMatches(a, b)).toBe(a === b)
      }),
    )
  })

  test("a glob from a hostile store is no way to stop a process", () => {
    const start = performance.now()
    expect(globMatches(`${"*a".repeat(40)}*b`, "a".repeat(128))).toBe(false)
    expect(performance.now() - start).toBeLessThan(10_000)
  })
})

describe("names", () => {
  test("task and queue names are checked", () => {
    for (const name of ["resize", "_x", "mail:send.v2-1", "0", "x".repeat(128)])
      expect(checkTaskName(name)).toBe(name)
    for (const name of ["", "-x", ".x", ":x", "a/b", "a b", "a\n", "x".repeat(129)]) {
      expect(() => checkTaskName(name)).toThrow(/bad task name/)
    }
    for (const name of ["default", ".", "-", "a_b.C-1"]) expect(checkQueueName(name)).toBe(name)
    for (const name of ["", "*", "a:b", "a b", "a/b", "x".repeat(129)]) {
      expect(() => checkQueueName(name)).toThrow(/bad queue name/)
    }
  })

  test("a command goes by its program's name, or by `command`", () => {
    expect(["/usr/bin/rsync", "./backup.sh", "ls", "/", "", "/opt/my tool"].map(commandName)).toEqual([
      "rsync",
      "backup.sh",
      "ls",
      "command",
      "command",
      "command",
    ])
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (program) =>
        expect(isTaskName(commandName(program))).toBe(true),
      ),
    )
  })
})
