/** Registers rules. What a store cannot do is left out, and the report says how many rules for want of what. */
import { expect, test } from "bun:test"
import type { Capability } from "../../../src/engine/engine.ts"
import { type Harness, Stage } from "./stage.ts"

export type Need = Capability | "time travel" | "processes" | "places"

type Play = (stage: Stage) => Promise<void>

export class Suite {
  readonly harness: Harness
  readonly #leftOut = new Map<Need, number>()

  constructor(harness: Harness) {
    this.harness = harness
  }

  lacks(need: Need): boolean {
    if (need === "time travel") return !this.harness.timeTravel
    if (need === "places") return this.harness.keepsPlaces === false
    return need === "processes" ? !this.harness.processes : !this.harness.supports[need]
  }

  /** A function that registers rules of stores with these capabilities. */
  needing(...needs: Need[]) {
    return (title: string, play: Play, ...more: Need[]): void => {
      const lacking = [...needs, ...more].filter((need) => this.lacks(need))
      const [first] = lacking
      if (first) this.#leftOut.set(first, (this.#leftOut.get(first) ?? 0) + 1)
      else test(title, () => this.play(play))
    }
  }

  /** Says how many rules were left out for want of what, and makes sure that the engine itself says so too. */
  sayWhatIsLeftOut(): void {
    for (const [need, count] of this.#leftOut) {
      test(`${count} rules that need ${need}`, () =>
        this.play(async ({ engine }) => {
          expect(this.lacks(need)).toBe(true)
          if (need in engine.supports) expect(engine.supports[need as Capability]).toBe(false)
        }))
    }
  }

  /**
   * Plays on an empty store. Where time goes by itself, nothing may fall due by accident: a rule whose steps took so long that something
   * may have has shown nothing, and is played again with longer spans.
   */
  async play(play: Play): Promise<void> {
    for (let { soon } = this.harness; ; soon *= 5) {
      const ground = await this.harness.start()
      const stage = new Stage({ ...this.harness, soon }, ground, await ground.engine())
      const start = performance.now()
      try {
        await play(stage)
        return
      } catch (error) {
        const acted = performance.now() - start - stage.passed
        if (this.harness.timeTravel || acted < soon / 2 || soon > 10_000) throw error
      } finally {
        await stage.clear()
      }
    }
  }
}
