import { describe, expect } from "bun:test"
import type { Engine, Sighting } from "../../../src/engine/engine.ts"
import { completed, failed, retried } from "../../support/outcomes.ts"
import type { Suite } from "./suite.ts"

/** Reads sightings one by one. */
class Reader {
  readonly #sightings: AsyncIterator<Sighting>
  readonly #abort = new AbortController()

  constructor(engine: Engine, id: string, output = false) {
    this.#sightings = engine.follow(id, { output }, this.#abort.signal)[Symbol.asyncIterator]()
  }

  /** The next sighting in short, or `end`. */
  async next(): Promise<string> {
    const { done, value } = await this.#sightings.next()
    if (done) return "end"
    if (value.kind === "state") return value.task.state.status
    return value.kind === "gone" ? "gone" : `${value.chunk.stream} ${Buffer.from(value.chunk.data)}`
  }

  abort(): void {
    this.#abort.abort()
  }
}

export function followRules(suite: Suite): void {
  const rule = suite.needing("lookup")

  describe("follow", () => {
    rule("yields the present state, every change of it, and ends with the task", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const reader = new Reader(await stage.another(), id)
      expect(await reader.next()).toBe("pending")
      const claim = await worker.take()
      expect(await reader.next()).toBe("running")
      await worker.settle(retried(claim, { in: 60 }))
      expect(await reader.next()).toBe("scheduled")
      await Bun.sleep(80)
      const again = await worker.take()
      expect(await reader.next()).toBe("running")
      await worker.settle(completed(again))
      expect(await reader.next()).toBe("completed")
      expect(await reader.next()).toBe("end")
    })

    rule("of a task that has ended yields its end, with the result", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const worker = await stage.worker()
      await worker.settle(completed(await worker.take(), "42"))
      const sightings: Sighting[] = []
      for await (const sighting of stage.engine.follow(id, { output: false }, new AbortController().signal)) {
        sightings.push(sighting)
      }
      expect(sightings).toMatchObject([
        { kind: "state", task: { state: { status: "completed", result: { data: "42" } } } },
      ])
    })

    rule("yields progress", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const { lease } = await worker.take()
      const abort = new AbortController()
      const seen: number[] = []
      for await (const sighting of stage.engine.follow(id, { output: false }, abort.signal)) {
        if (sighting.kind !== "state") continue
        const { progress } = sighting.task.state
        seen.push(progress?.fraction ?? 0)
        if (seen.length === 3) break
        await worker.engine.report(lease, [
          { kind: "progress", progress: { fraction: (progress?.fraction ?? 0) + 0.25 } },
        ])
      }
      expect(seen).toEqual([0, 0.25, 0.5])
    })

    rule("with output yields what was written so far and what comes, before the end", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const write = (text: string, offset: number) =>
        worker.engine.report(claim.lease, [
          { kind: "output", stream: "stdout", offset, data: Buffer.from(text) },
        ])
      await write("a", 0)
      await write("b", 1)
      const reader = new Reader(await stage.another(), id, true)
      const seen = [await reader.next(), await reader.next(), await reader.next()]
      expect(seen.toSorted()).toEqual(["running", "stdout a", "stdout b"])
      await write("c", 2)
      expect(await reader.next()).toBe("stdout c")
      const last = { kind: "output", stream: "stderr", offset: 0, data: Buffer.from("d") } as const
      await worker.engine.settle(worker.ref, [{ outcome: completed(claim), output: [last] }])
      expect([await reader.next(), await reader.next(), await reader.next()]).toEqual([
        "stderr d",
        "completed",
        "end",
      ])
    })

    rule("without output yields none", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const note = { kind: "output", stream: "log", offset: 0, data: Buffer.from("x") } as const
      await worker.engine.settle(worker.ref, [{ outcome: failed(claim), output: [note] }])
      const reader = new Reader(stage.engine, id)
      expect([await reader.next(), await reader.next()]).toEqual(["failed", "end"])
    })

    rule("of more output than a page holds misses none of it", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const worker = await stage.worker()
      const claim = await worker.take()
      const notes = Array.from({ length: 2_500 }, (_, i) => ({
        kind: "output" as const,
        stream: "stdout" as const,
        offset: i,
        data: Buffer.from("x"),
      }))
      await worker.engine.settle(worker.ref, [{ outcome: completed(claim), output: notes }])
      const offsets: number[] = []
      for await (const sighting of stage.engine.follow(id, { output: true }, new AbortController().signal)) {
        if (sighting.kind === "output") offsets.push(sighting.chunk.offset)
      }
      expect(offsets).toEqual(notes.map(({ offset }) => offset))
    })

    rule(
      "of nobody, or of one that is deleted, yields `gone`",
      async (stage) => {
        stage.ground.clock.flow()
        const nobody = new Reader(stage.engine, "nobody")
        expect([await nobody.next(), await nobody.next()]).toEqual(["gone", "end"])
        const [id] = await stage.push({})
        const reader = new Reader(stage.engine, id)
        expect(await reader.next()).toBe("pending")
        await stage.engine.revise({ ids: [id] }, { kind: "delete" })
        expect([await reader.next(), await reader.next()]).toEqual(["gone", "end"])
      },
      "revise",
    )

    rule("ends when it is aborted, and when its engine is closed", async (stage) => {
      stage.ground.clock.flow()
      const [id] = await stage.push({})
      const other = await stage.another()
      const readers = [new Reader(stage.engine, id), new Reader(other, id)]
      for (const reader of readers) expect(await reader.next()).toBe("pending")
      const ends = readers.map((reader) => reader.next())
      await Bun.sleep(10)
      readers[0]!.abort()
      await other.close()
      expect(await Promise.all(ends)).toEqual(["end", "end"])
    })
  })
}
