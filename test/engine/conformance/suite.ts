/** Registers rules. What a store cannot do is skipped by name, never silently. */
import { test } from "bun:test"
import type { Capability } from "../../../src/engine/engine.ts"
import { type Harness, Stage } from "./stage.ts"

export type Need = Capability | "time travel"

type Play = (stage: Stage) => Promise<void>

export class Suite {
  readonly harness: Harness

  constructor(harness: Harness) {
    this.harness = harness
  }

  lacks(need: Need): boolean {
    return need === "time travel" ? !this.harness.timeTravel : !this.harness.supports[need]
  }

  /** A function that registers rules of stores with these capabilities. */
  needing(...needs: Need[]) {
    return (title: string, play: Play, ...more: Need[]): void => {
      const lacking = [...needs, ...more].filter((need) => this.lacks(need))
      if (lacking.length > 0) test.skip(`${title} [not here: ${lacking.join(", ")}]`, () => {})
      else test(title, () => this.#play(play), 20_000)
    }
  }

  async #play(play: Play): Promise<void> {
    const ground = await this.harness.start()
    const stage = new Stage(this.harness, ground, await ground.engine())
    try {
      await play(stage)
    } finally {
      await stage.clear()
    }
  }
}
