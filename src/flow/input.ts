/** What a run is given: `--input`, laid over what the flow's file sets, and whether its steps can do with it. */
import { TqError } from "../core/errors.ts"
import type { Step } from "../core/flow.ts"
import { isObject, type JsonText, type JsonValue, memberTexts, parseJson } from "../core/json.ts"
import type { FlowDocument } from "./document.ts"
import { lookUp, parseReference, type Reference, referencesInWork } from "./values.ts"

/**
 * The members of an object are laid over those that the flow sets; anything else takes their place. Throws a `data` error for what is
 * of another kind than what the flow sets, and for an input without what a step names: the run would only fail later.
 */
export function inputOf({ plan, input: preset }: FlowDocument, given: JsonText | undefined): JsonText {
  const input = given === undefined ? JSON.stringify(preset ?? null) : laidOver(plan.name, preset, given)
  for (const step of plan.steps) refuseWithout(step, input)
  return input
}

function laidOver(flow: string, preset: JsonValue | undefined, given: JsonText): JsonText {
  const value = parseJson(given, "--input")
  const [wanted, got] = [kindOf(preset ?? null), kindOf(value)]
  if (preset !== undefined && wanted !== "null" && wanted !== got) {
    throw new TqError("data", `--input is ${got}: flow ${flow} takes ${wanted}, like ${excerpt(preset)}`)
  }
  if (!isObject(preset) || !isObject(value)) return given
  const members = new Map([...memberTexts(JSON.stringify(preset)), ...memberTexts(given)])
  return `{${[...members].map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(",")}}`
}

function kindOf(value: JsonValue): string {
  if (value === null) return "null"
  if (Array.isArray(value)) return "an array"
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}

const longest = 60

function excerpt(value: JsonValue | undefined): string {
  const text = JSON.stringify(value)
  return text.length <= longest ? text : `${text.slice(0, longest)}…`
}

/** A step with a condition may not come to it. */
function refuseWithout({ id, work, map, if: condition }: Step, input: JsonText): void {
  if (condition !== undefined) return
  const list = map === undefined ? undefined : parseReference(map.trim().slice(2, -2))
  const named = [...(list ? [list] : []), ...referencesInWork(work)].filter(({ path }) => path[0] === "input")
  const value = (reference: Reference) => lookUp(reference, { input, outputs: new Map(), run: "" })
  const missing = named.find((reference) => value(reference) === undefined)
  if (missing) {
    const remedy = `--input '${sketch(missing.path.slice(1))}'`
    throw new TqError(
      "data",
      `step ${id} needs ${missing.text}, which the input does not have: give ${remedy}`,
    )
  }
  if (list?.path[0] === "input" && !value(list)?.startsWith("["))
    throw new TqError("data", `step ${id}: map: ${list.text} is not an array in this input`)
}

/** `{"size":{"width":…}}` for what is named `input.size.width`. */
const sketch = ([key, ...rest]: readonly string[]): string => {
  if (key === undefined) return "…"
  return /^\d+$/.test(key) ? `[${sketch(rest)}]` : `{${JSON.stringify(key)}:${sketch(rest)}}`
}
