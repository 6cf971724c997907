/** What is told at the end of a run that failed: enough to know why, and so little that the end of a log holds it. */
import { expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { countsIn, failuresIn } from "./report.ts"
import { tempFolder } from "./support/temp.ts"

const passed =
  '<testcase name="fine" classname="" time="0.1" file="test/a.test.ts" line="2" assertions="1" />'

/** As `bun test --reporter=junit` writes one. */
const failed = (name: string, message: string) => `
  <testcase name="${name}" classname="a &gt; group" time="0.1" file="test/a.test.ts" line="3" assertions="1">
    <failure type="Error" message="${message}">Error: ${message}&#10;      at waitFor (test/support/cli.ts:231:44)&#10;      at async &lt;anonymous&gt; (test/a.test.ts:5:3)&#10;</failure>
  </testcase>`

const crashed = `
  <testcase name="(worker crashed)" classname="" time="0" file="test/b.test.ts" line="1" assertions="0">
    <failure type="Error" message="worker process crashed before reporting results" />
  </testcase>`

async function withReport(cases: readonly string[], look: (path: string) => void): Promise<void> {
  const folder = tempFolder()
  const path = join(folder.path, "report.xml")
  const head = `<testsuites name="bun test" tests="${cases.length}" assertions="1" failures="1" skipped="0" time="1">`
  writeFileSync(path, `${head}${cases.join("\n")}</testsuites>`)
  look(path)
  folder.remove()
}

test("each failure is told by its test, its message and its places; who crashed, by its file", () =>
  withReport([passed, failed("x &quot;y&quot;", "expected&#10;  a &lt; b"), crashed, passed], (path) => {
    expect(countsIn(path)).toEqual({ tests: 4, failures: 1, skipped: 0 })
    expect(failuresIn(path)).toEqual([
      '✗ test/a.test.ts: a > group > x "y"\n  expected a < b\n  at test/support/cli.ts:231, test/a.test.ts:5',
      "✗ test/b.test.ts: (worker crashed)\n  worker process crashed before reporting results\n  at line 1",
    ])
  }))

test("many failures, and long ones, fit into two thousand characters", () =>
  withReport(
    Array.from({ length: 30 }, (_, n) => failed(`number ${n}`, "it said so much ".repeat(1_000))),
    (path) => {
      const told = failuresIn(path)
      expect(told.at(-1)).toBe("… and 22 more")
      expect(told.join("\n").length).toBeLessThan(2_000)
    },
  ))

test("no report is no count", () => {
  expect(countsIn("/nowhere/report.xml")).toBeUndefined()
  expect(failuresIn("/nowhere/report.xml")).toEqual([])
})
