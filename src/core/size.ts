/** Sizes as people write them: `512MiB`, `2GiB`; a bare number is bytes. */

const units: Readonly<Record<string, number>> = { B: 1, KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30 }

/** @returns bytes, or undefined when `text` is no size */
export function trySize(text: string): number | undefined {
  const [, digits, unit = "B"] = /^(\d{1,12}) ?(B|KiB|MiB|GiB)?$/.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits) * units[unit]!
}
