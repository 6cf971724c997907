/** The options of a verb, as it declares them and as it gets them. */

export interface Flag {
  readonly type: "boolean" | "string"
  /** One character. */
  readonly alias?: string
  readonly description: string
  /** What stands for the value in the help: `DUR`. */
  readonly value?: string
  /** May be given several times. */
  readonly multiple?: true
}

export type Flags = Readonly<Record<string, Flag>>

export type ParsedFlags<F extends Flags> = {
  readonly [K in keyof F]: F[K]["type"] extends "boolean"
    ? boolean
    : F[K] extends { readonly multiple: true }
      ? readonly string[]
      : string | undefined
}
