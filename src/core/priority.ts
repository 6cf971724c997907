/** An integer 0..10. 0 is the most urgent, on every engine. */
import { TqError } from "./errors.ts"

export type Priority = number

export const defaultPriority: Priority = 5
export const leastUrgent: Priority = 10

export const priorityNames: Readonly<Record<string, Priority>> = { urgent: 0, high: 2, normal: 5, low: 8 }

export function parsePriority(text: string): Priority {
  const named = Object.hasOwn(priorityNames, text) ? priorityNames[text] : undefined
  if (named !== undefined) return named
  if (/^\d{1,2}$/.test(text) && Number(text) <= leastUrgent) return Number(text)
  throw new TqError(
    "usage",
    `bad priority ${JSON.stringify(text)}: 0 (most urgent) to 10, or urgent, high, normal, low`,
  )
}
