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
      else test(title, () => this.play(play), 60_000)
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

  /** Plays on an empty store. */
  async play(play: Play): Promise<void> {
    const ground = await this.harness.start()
    const stage = new Stage(this.harness, ground, await ground.engine())
    try {
      await play(stage)
    } finally {
      await stage.clear()
    }
  }
}
