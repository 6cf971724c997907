/** Preloaded into a tq that runs from its sources: its wall clock is off by as many milliseconds as the file CLOCK_SHIFT says. */
import { readFileSync } from "node:fs"

const file = process.env.CLOCK_SHIFT!
const real = Date.now.bind(Date)
Date.now = () => real() + Number(readFileSync(file, "utf8"))
