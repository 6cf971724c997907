/** Ids given as arguments; `-` reads more from stdin, one a line. */
import { TqError } from "../core/errors.ts"
import { checkId, type TaskId } from "../core/id.ts"
import { readStdin } from "./stdin.ts"

export async function idsFrom(operands: readonly string[]): Promise<TaskId[]> {
  const lists = await Promise.all(
    operands.map(async (operand) => {
      if (operand !== "-") return [operand]
      const lines = Buffer.from(await readStdin())
        .toString()
        .split("\n")
      return lines.map((line) => line.trim()).filter((line) => line !== "")
    }),
  )
  return lists.flat().map(checkId)
}

export async function oneId(operands: readonly string[]): Promise<TaskId> {
  const ids = await idsFrom(operands)
  if (ids.length === 1) return ids[0]!
  throw new TqError("usage", `takes one id, not ${ids.length}`)
}
