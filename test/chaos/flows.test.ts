import { expect, test } from "bun:test"
import { killThroughRuns } from "./flow-kills.ts"

test("workers killed -9 through many runs of flows: every run ends once, and no output is lost", async () => {
  const { runs, kills, failed } = await killThroughRuns("SQLite", 200, 7)
  expect(runs).toBe(200)
  expect(kills).toBeGreaterThan(0)
  expect(failed).toBeLessThan(100)
})
