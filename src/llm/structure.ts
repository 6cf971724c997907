/** Whether a value fits a JSON Schema. The validator is loaded only where an answer has one. */
import { messageOf } from "../core/errors.ts"
import { NoRetry } from "../sdk/errors.ts"

/** @returns what does not fit; undefined when all does. Throws NoRetry for a schema that is none. */
export async function describeMismatch(
  value: unknown,
  schema: Readonly<Record<string, unknown>>,
): Promise<string | undefined> {
  const { Ajv2020 } = await import("ajv/dist/2020.js")
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false, logger: false })
  // Drafts differ in little that matters here, and which one it names is one of them.
  const { $schema: _, ...rest } = schema
  let validate: ReturnType<typeof ajv.compile>
  try {
    validate = ajv.compile(rest)
  } catch (error) {
    throw new NoRetry(`llm: json is no JSON Schema: ${messageOf(error)}`)
  }
  if (validate(value)) return undefined
  return ajv.errorsText(validate.errors?.slice(0, 5), { dataVar: "answer" })
}
