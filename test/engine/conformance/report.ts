import { describe, expect } from "bun:test"
import type { Claim } from "../../../src/core/claim.ts"
import type { Note, Output, Stream } from "../../../src/engine/engine.ts"
import { completed, crashed, returned } from "../../support/outcomes.ts"
import type { Stage } from "./stage.ts"
import type { Suite } from "./suite.ts"

const output = (stream: Stream, offset: number, text: string, forget?: Output["forget"]): Output => ({
  kind: "output",
  stream,
  offset,
  data: Buffer.from(text),
  ...(forget && { forget }),
})

export function reportRules(suite: Suite): void {
  const rule = suite.needing("lookup")

  const running = async (stage: Stage) => {
    const [id] = await stage.push({})
    const worker = await stage.worker()
    const claim = await worker.take()
    const report = (...notes: Note[]) => worker.engine.report(claim.lease, notes)
    return { id, worker, claim, report }
  }

  const texts = async (stage: Stage, id: string, attempt?: number) =>
    (await stage.engine.output(id, attempt)).map(
      ({ stream, offset, data }) => `${stream} ${offset} ${Buffer.from(data)}`,
    )

  describe("report", () => {
    rule("progress: the latest is shown", async (stage) => {
      const { id, report } = await running(stage)
      expect(await report({ kind: "progress", progress: { fraction: 0.25, message: "half of half" } })).toBe(
        "ok",
      )
      expect((await stage.state(id)).progress).toEqual({ fraction: 0.25, message: "half of half" })
      await report({ kind: "progress", progress: { fraction: 0.5 } })
      expect((await stage.state(id)).progress).toEqual({ fraction: 0.5 })
    })

    rule("output: kept in order, each with its stream, offset and run", async (stage) => {
      const { id, claim, report } = await running(stage)
      await report(output("stdout", 0, "a"), output("stderr", 0, "b"))
      await report(output("stdout", 1, "c"))
      expect(await texts(stage, id)).toEqual(["stdout 0 a", "stderr 0 b", "stdout 1 c"])
      const [chunk] = await stage.engine.output(id)
      expect(chunk).toMatchObject({ epoch: claim.lease.epoch, attempt: 1 })
      expect(Math.abs(chunk!.at - stage.ground.clock.now())).toBeLessThan(60_000)
    })

    rule("output: bytes come back as they were", async (stage) => {
      const { id, report } = await running(stage)
      const data = new Uint8Array([0, 255, 10, 13, 254, 0])
      await report({ kind: "output", stream: "stream", offset: 0, data })
      const [chunk] = await stage.engine.output(id)
      expect(new Uint8Array(chunk!.data)).toEqual(data)
    })

    rule("output: forgets the chunks of that stream that lie wholly in the span", async (stage) => {
      const { id, report } = await running(stage)
      await report(output("stderr", 2, "xx"))
      for (const [i, text] of ["aa", "bb", "cc", "dd"].entries()) await report(output("stdout", 2 * i, text))
      await report(output("stdout", 8, "ee", { from: 2, to: 7 }))
      expect(await texts(stage, id)).toEqual(["stderr 2 xx", "stdout 0 aa", "stdout 6 dd", "stdout 8 ee"])
    })

    rule("output: of the last run that wrote anything, or of one attempt", async (stage) => {
      const { id, worker, claim, report } = await running(stage)
      await report(output("log", 0, "first"))
      await worker.settle(crashed(claim))
      const second = await worker.take()
      await worker.engine.report(second.lease, [output("log", 0, "second")])
      await worker.settle(returned(second))
      const third = await worker.take()
      await worker.engine.report(third.lease, [output("log", 0, "third")])
      await worker.settle(crashed(third))
      const silent = await worker.take()
      expect(await texts(stage, id)).toEqual(["log 0 third"])
      expect(await texts(stage, id, 1)).toEqual(["log 0 first"])
      expect(await texts(stage, id, 2)).toEqual(["log 0 third"])
      expect(await texts(stage, id, 3)).toEqual([])
      await worker.settle(completed(silent))
      expect(await texts(stage, "nobody")).toEqual([])
    })

    rule("memos: in the order in which they were first stored, the latest value", async (stage) => {
      const { id, report } = await running(stage)
      await report({ kind: "memo", key: "z#1", value: '{"a":1.10}' })
      await report({ kind: "memo", key: "a#1", value: "[]" }, { kind: "memo", key: "a#2", value: "null" })
      await report({ kind: "memo", key: "z#1", value: "12345678901234567890" })
      expect([...(await stage.engine.memos(id))]).toEqual([
        ["z#1", "12345678901234567890"],
        ["a#1", "[]"],
        ["a#2", "null"],
      ])
      expect((await stage.engine.memos("nobody")).size).toBe(0)
    })

    rule("memos: survive the run, its worker and every process", async (stage) => {
      const { id, worker, claim, report } = await running(stage)
      await report({ kind: "memo", key: "step#1", value: "7" })
      await worker.settle(crashed(claim))
      await stage.engine.close()
      const other = await stage.another()
      expect([...(await other.memos(id))]).toEqual([["step#1", "7"]])
    })

    rule(
      "lost: by id, epoch and worker, and after the end; nothing is written",
      async (stage) => {
        const { id, worker, claim } = await running(stage)
        const { lease } = claim
        const notes: Note[] = [
          { kind: "memo", key: "m", value: "1" },
          { kind: "progress", progress: { fraction: 1 } },
          output("log", 0, "x"),
        ]
        const wrong: Claim["lease"][] = [
          { ...lease, id: "nobody" },
          { ...lease, epoch: lease.epoch + 1 },
          { ...lease, worker: "somebody" },
        ]
        for (const some of wrong) expect(await worker.engine.report(some, notes)).toBe("lost")
        await worker.settle(returned(claim))
        expect(await worker.engine.report(lease, notes)).toBe("lost")
        expect((await stage.engine.memos(id)).size).toBe(0)
        expect(await stage.engine.output(id)).toEqual([])
        expect((await stage.state(id)).progress).toBeUndefined()
      },
      "fence",
    )
  })
}
