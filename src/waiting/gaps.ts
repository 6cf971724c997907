import type { Chunk } from "../engine/engine.ts"

/** Of a long stream only head and tail are kept. @returns for each chunk in turn, how many bytes are missing before it */
export function gapsIn(): (chunk: Chunk) => number {
  const ends = new Map<string, number>()
  return ({ epoch, stream, offset, data }) => {
    const key = `${epoch} ${stream}`
    const expected = ends.get(key) ?? 0
    ends.set(key, offset + data.byteLength)
    return Math.max(0, offset - expected)
  }
}
