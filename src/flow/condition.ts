/**
 * The `if:` of a step: `{{ steps.check.output.ok }}`, `{{ input.kind }} == "full" && !{{ input.dry }}`. Values, texts, numbers,
 * true, false, null; == != < <= > >=; ! && || and parentheses. What is not there is null. A value alone holds unless it is null,
 * false, 0 or "".
 */
import { TqError } from "../core/errors.ts"
import type { JsonValue } from "../core/json.ts"
import { lookUp, parseReference, type Reference, type Scope } from "./values.ts"

export type Condition =
  | { readonly kind: "value"; readonly reference: Reference }
  | { readonly kind: "constant"; readonly value: JsonValue }
  | { readonly kind: "not"; readonly of: Condition }
  | { readonly kind: "and" | "or"; readonly left: Condition; readonly right: Condition }
  | {
      readonly kind: "compare"
      readonly operator: string
      readonly left: Condition
      readonly right: Condition
    }

const tokenPattern =
  /\s*(\{\{[^{}]*\}\}|"(?:[^"\\]|\\.)*"|'[^']*'|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[a-z]+|==|!=|<=|>=|&&|\|\||[<>!()])/y

/** Throws a `data` error for what makes no sense. */
export function parseCondition(text: string): Condition {
  const parser = new Parser(text)
  const condition = parser.either()
  if (parser.next !== undefined) throw parser.refuse()
  return condition
}

/** Deeper than any condition that a person writes, shallower than the stack. */
const deepest = 100

class Parser {
  readonly #text: string
  readonly #tokens: string[] = []
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
    tokenPattern.lastIndex = 0
    let end = 0
    for (let match = tokenPattern.exec(text); match; match = tokenPattern.exec(text)) {
      this.#tokens.push(match[1]!)
      end = tokenPattern.lastIndex
    }
    if (text.slice(end).trim() !== "") this.#tokens.push(text.slice(end).trim())
  }

  get next(): string | undefined {
    return this.#tokens[this.#at]
  }

  refuse(): TqError {
    const near = this.next === undefined ? "it ends too early" : `near ${JSON.stringify(this.next)}`
    return new TqError("data", `bad condition ${JSON.stringify(this.#text)}: ${near}`)
  }

  either(): Condition {
    let left = this.#both()
    while (this.#takes("||")) left = { kind: "or", left, right: this.#both() }
    return left
  }

  #both(): Condition {
    let left = this.#not()
    while (this.#takes("&&")) left = { kind: "and", left, right: this.#not() }
    return left
  }

  #not(): Condition {
    if (this.#depth > deepest) throw this.refuse()
    this.#depth++
    const condition: Condition = this.#takes("!") ? { kind: "not", of: this.#not() } : this.#comparison()
    this.#depth--
    return condition
  }

  #comparison(): Condition {
    const left = this.#operand()
    if (!/^(?:==|!=|<=|>=|<|>)$/.test(this.next ?? "")) return left
    const operator = this.#take()
    return { kind: "compare", operator, left, right: this.#operand() }
  }

  #operand(): Condition {
    if (this.#takes("(")) {
      const inner = this.either()
      if (!this.#takes(")")) throw this.refuse()
      return inner
    }
    const token = this.next ?? ""
    if (token.startsWith("{{")) return { kind: "value", reference: parseReference(this.#take().slice(2, -2)) }
    if (token.startsWith("'")) return { kind: "constant", value: this.#take().slice(1, -1) }
    if (!/^(?:".*"|-?\d.*|true|false|null)$/s.test(token)) throw this.refuse()
    return { kind: "constant", value: JSON.parse(this.#take()) as JsonValue }
  }

  #takes(token: string): boolean {
    if (this.next !== token) return false
    this.#at++
    return true
  }

  #take(): string {
    return this.#tokens[this.#at++]!
  }
}

export function referencesInCondition(condition: Condition): Reference[] {
  switch (condition.kind) {
    case "value":
      return [condition.reference]
    case "constant":
      return []
    case "not":
      return referencesInCondition(condition.of)
    default:
      return [...referencesInCondition(condition.left), ...referencesInCondition(condition.right)]
  }
}

export function holds(condition: Condition, scope: Scope): boolean {
  switch (condition.kind) {
    case "not":
      return !holds(condition.of, scope)
    case "and":
      return holds(condition.left, scope) && holds(condition.right, scope)
    case "or":
      return holds(condition.left, scope) || holds(condition.right, scope)
    case "compare":
      return compares(condition.operator, evaluate(condition.left, scope), evaluate(condition.right, scope))
    default: {
      const value = evaluate(condition, scope)
      return value !== null && value !== false && value !== 0 && value !== ""
    }
  }
}

function evaluate(condition: Condition, scope: Scope): JsonValue {
  if (condition.kind === "constant") return condition.value
  if (condition.kind !== "value") return holds(condition, scope)
  const text = lookUp(condition.reference, scope)
  return text === undefined ? null : (JSON.parse(text) as JsonValue)
}

function compares(operator: string, left: JsonValue, right: JsonValue): boolean {
  if (operator === "==") return isSame(left, right)
  if (operator === "!=") return !isSame(left, right)
  // Only numbers have an order with numbers, and texts with texts.
  if (typeof left !== typeof right || (typeof left !== "number" && typeof left !== "string")) return false
  const [a, b] = [left, right as typeof left]
  if (operator === "<") return a < b
  if (operator === "<=") return a <= b
  return operator === ">" ? a > b : a >= b
}

const isSame = (a: JsonValue, b: JsonValue): boolean => Bun.deepEquals(a, b)
