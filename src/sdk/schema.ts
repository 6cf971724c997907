/** Input validation with any library that speaks Standard Schema (https://standardschema.dev): zod, valibot, arktype. */

export interface StandardSchema<Output = unknown, Input = unknown> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export const noSchema = "input must be a schema: of zod, valibot, arktype, or whatever speaks Standard Schema"

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** The first few issues in one line: `size.width: expected a number; name: too short`. */
export function describeIssues(issues: readonly SchemaIssue[]): string {
  const lines = issues.slice(0, 5).map(({ message, path = [] }) => {
    const where = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".")
    return where === "" ? message : `${where}: ${message}`
  })
  const more = issues.length > 5 ? ` (and ${issues.length - 5} more)` : ""
  return lines.join("; ") + more
}
