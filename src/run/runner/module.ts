/** The module "tq", for files that are loaded by the executable: nothing is installed beside them. */
import { plugin } from "bun"
import * as sdk from "../../sdk.ts"

export function provideModule(): void {
  plugin({
    name: "tq",
    setup: (build) => void build.module("tq", () => ({ exports: { ...sdk }, loader: "object" })),
  })
}
