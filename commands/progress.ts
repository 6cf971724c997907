import { command } from "../src/cli/command.ts"
import { TqError } from "../src/core/errors.ts"
import { needsStore } from "../src/engine/refusal.ts"
import { tellWorker } from "../src/worker/tell.ts"

export default command({
  name: "progress",
  description: "Inside a task: tell how far it is. tq show and tq list show it.",
  usage: ["tq progress 0..1|N/M|N% [MESSAGE]"],
  examples: ["tq progress 0.5", 'tq progress 3/12 "third volume"', "tq progress 75%"],
  flags: {},
  operands: { min: 1, max: 2 },
  run: async ({ operands, session }) => {
    const fraction = parseFraction(operands[0]!)
    const { url, store } = session.config
    if (/^amqps?:/i.test(url.value) && store.value === undefined) throw needsStore("tq progress")
    const [, message] = operands
    const progress = { fraction, ...(message !== undefined && { message: message.slice(0, 1000) }) }
    await tellWorker(session, { progress })
    return 0
  },
})

function parseFraction(text: string): number {
  const [, part, whole] = /^(\d+(?:\.\d+)?)\/(\d+(?:\.\d+)?)$/.exec(text) ?? []
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1]
  const fraction =
    part !== undefined && whole !== undefined
      ? Number(part) / Number(whole)
      : percent !== undefined
        ? Number(percent) / 100
        : /^\d*\.?\d+$/.test(text)
          ? Number(text)
          : Number.NaN
  if (fraction >= 0 && fraction <= 1) return fraction
  throw new TqError("usage", `bad progress ${JSON.stringify(text)}: write 0.5, 3/12 or 75%`)
}
