/** Values with bytes in them as JSON text and back: what workers tell those who wait. */

const isWrapped = (value: unknown): value is { $bytes: string } =>
  typeof value === "object" && value !== null && typeof (value as { $bytes?: unknown }).$bytes === "string"

export const toText = (value: unknown): string =>
  JSON.stringify(value, (_, part) =>
    part instanceof Uint8Array
      ? { $bytes: Buffer.from(part).toString("base64") }
      : // A Buffer has turned itself into an object before it gets here.
        isSerialisedBuffer(part)
        ? { $bytes: Buffer.from(part.data).toString("base64") }
        : part,
  )

/** Throws for what is not JSON. */
export const fromText = (text: string): unknown =>
  JSON.parse(text, (_, part) => (isWrapped(part) ? new Uint8Array(Buffer.from(part.$bytes, "base64")) : part))

const isSerialisedBuffer = (value: unknown): value is { type: "Buffer"; data: number[] } =>
  typeof value === "object" &&
  value !== null &&
  (value as { type?: unknown }).type === "Buffer" &&
  Array.isArray((value as { data?: unknown }).data)
