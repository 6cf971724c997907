/** What is wrong with a flow file is found before anything is written, all of it, each with its line. */
import { describe, expect, test } from "bun:test"
import { Ajv2020 } from "ajv/dist/2020.js"
import fc from "fast-check"
import { parse } from "yaml"
import { circleIn, inOrder } from "../../src/core/flow.ts"
import { draw } from "../../src/flow/draw.ts"
import { describeComplaint, readFlowText } from "../../src/flow/yaml.ts"
import schema from "../../src/templates/flow.schema.json" with { type: "json" }
import starter from "../../src/templates/flow.yaml" with { type: "text" }

const complaints = (yaml: string): string[] =>
  (readFlowText(yaml, "f.yaml", "/here").complaints ?? []).map(describeComplaint)

const planOf = (yaml: string) => {
  const read = readFlowText(yaml, "f.yaml", "/here")
  if (read.complaints) throw new Error(read.complaints.map(describeComplaint).join("\n"))
  return read.document.plan
}

describe("a mistake is told with its line", () => {
  const cases: readonly (readonly [name: string, yaml: string, ...complaints: string[]])[] = [
    [
      "no YAML",
      "name: [",
      "f.yaml:1:8: Flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
    ["nothing", "", "f.yaml:1:1: a flow is a map with name: and steps:"],
    ["a list", "- a\n", "f.yaml:1:1: a flow is a map with name: and steps:"],
    [
      "no name, no steps",
      "input: 1\n",
      "f.yaml:1:1: name: is missing: give the flow a name",
      "f.yaml:1:1: steps: is missing: a map of steps by their ids",
    ],
    [
      "a bad name",
      'name: "a b"\nsteps: { a: { run: [x] } }\n',
      'f.yaml:1:1: bad name "a b": up to 59 letters, digits and . _ -',
    ],
    [
      "unknown keys",
      "name: f\nstep: {}\nsteps:\n  a:\n    run: [x]\n    timeuot: 3\n",
      'f.yaml:2:1: unknown key "step": did you mean steps:?',
      'f.yaml:6:5: unknown key "timeuot": did you mean timeout:?',
    ],
    [
      "a step written twice",
      "name: f\nsteps:\n  a: { run: [x] }\n  a: { run: [y] }\n",
      "f.yaml:4:3: a: written twice",
    ],
    [
      "an unknown parent",
      "name: f\nsteps:\n  load: { run: [x] }\n  use:\n    needs: [lod]\n    run: [x]\n",
      'f.yaml:5:5: no step "lod": did you mean load?',
    ],
    [
      "a circle",
      "name: f\nsteps:\n  a: { run: [x], needs: c }\n  b: { run: [x], needs: a }\n  c: { run: [x], needs: b }\n",
      "f.yaml:3:18: steps need each other in a circle: a → c → b → a",
    ],
    [
      "a step that needs itself",
      "name: f\nsteps:\n  a: { run: [x], needs: a }\n",
      "f.yaml:3:18: steps need each other in a circle: a → a",
    ],
    [
      "a circle and an unknown parent, and values that are wrong as well",
      "name: f\nsteps:\n  a: { run: [x], needs: a }\n  b: { run: [x], needs: zz }\n  c: { run: ['{{ steps.d.output }}'] }\n  d: { if: '{{ input.x }} =', run: [x] }\n",
      "f.yaml:3:18: steps need each other in a circle: a → a",
      'f.yaml:4:18: no step "zz"',
      "f.yaml:5:8: {{ steps.d.output }}: it may not be done by then: add it to needs:",
      'f.yaml:6:8: bad condition "{{ input.x }} =": near "="',
    ],
    [
      "a shell line for a program",
      "name: f\nsteps:\n  a:\n    run: echo hi | wc\n",
      "f.yaml:4:5: run: is a list, not a shell line: write sh: echo hi | wc, or run: [PROGRAM, ARGUMENT]",
    ],
    [
      "nothing to do",
      "name: f\nsteps:\n  a: {}\n",
      "f.yaml:3:3: nothing to do: a step has one of run:, sh:, task:, llm:, approve:",
    ],
    [
      "two things to do",
      "name: f\nsteps:\n  a: { run: [x], sh: y }\n",
      "f.yaml:3:3: run: and sh: exclude each other: a step has one of run:, sh:, task:, llm:, approve:",
    ],
    [
      "wrong types",
      "name: f\nsteps:\n  a:\n    run: [x]\n    retries: many\n    timeout: soon\n    priority: 11\n    queue: a b\n    needs: 3\n",
      "f.yaml:5:5: retries: is a whole number",
      'f.yaml:6:5: bad duration "soon": write 500ms, 30s, 1h30m or 2d',
      'f.yaml:7:5: bad priority "11": 0 (most urgent) to 10, or urgent, high, normal, low',
      'f.yaml:8:5: bad queue name "a b": up to 128 letters, digits and . _ -',
      "f.yaml:9:5: needs: is the id of a step, or a list of them",
    ],
    [
      "a value in shell text",
      'name: f\nsteps:\n  a:\n    sh: echo "{{ input.x }}"\n',
      "f.yaml:4:5: values are never put into shell text: it finds them as JSON in TQ_INPUT and TQ_PARENTS, or on stdin",
    ],
    [
      "a value as the script of a shell",
      'name: f\nsteps:\n  a:\n    run: [bash, -ec, "{{ input.x }}"]\n',
      "f.yaml:4:22: a value never becomes shell text: use sh: with TQ_INPUT and TQ_PARENTS",
    ],
    [
      "a value within an argument",
      'name: f\nsteps:\n  a:\n    run: [python3, -c, "print({{ input.x }})"]\n',
      'f.yaml:4:24: a value must be a whole element: "print({{ input.x }})": give it an element of its own, or use TQ_INPUT and TQ_PARENTS',
    ],
    [
      "a value of a step that may not be done",
      'name: f\nsteps:\n  a: { run: [x] }\n  b:\n    run: [x, "{{ steps.a.output }}"]\n',
      "f.yaml:5:5: {{ steps.a.output }}: it may not be done by then: add it to needs:",
    ],
    [
      "a value of no step",
      'name: f\nsteps:\n  b:\n    if: "{{ steps.a.output }}"\n    run: [x]\n',
      "f.yaml:4:5: {{ steps.a.output }}: there is no such step",
    ],
    [
      "an item without a map",
      'name: f\nsteps:\n  b: { run: [x, "{{ item }}"] }\n',
      "f.yaml:3:8: {{ item }} is known in a step with map: only",
    ],
    [
      "a bad condition",
      'name: f\nsteps:\n  b: { run: [x], if: "1 +" }\n',
      'f.yaml:3:18: bad condition "1 +": near "+"',
    ],
    [
      "a map over no name",
      "name: f\nsteps:\n  b: { run: [x], map: [1, 2] }\n",
      "f.yaml:3:18: map: names an array: write map: '{{ steps.STEP.output }}'",
    ],
    [
      "an approval with more than it takes",
      "name: f\nsteps:\n  b: { approve: { massage: hm }, retries: 3 }\n",
      'f.yaml:3:19: unknown key "massage": did you mean message:?',
      "f.yaml:3:34: an approval takes no retries:",
    ],
    [
      "with: where it does not belong",
      "name: f\nsteps:\n  b: { run: [x], with: {} }\n",
      "f.yaml:3:18: with: goes with task: only: run: takes its values from {{ }}",
    ],
    [
      "a task without a name",
      "name: f\nsteps:\n  b: { task: [x] }\n",
      "f.yaml:3:8: task: is the name of a task that a worker has a handler for",
    ],
    [
      "onFailure that needs steps",
      "name: f\nsteps:\n  b: { run: [x] }\nonFailure: { run: [x], needs: b }\n",
      "f.yaml:4:24: onFailure takes no needs: it runs when a step has failed",
    ],
  ]
  for (const [name, yaml, ...told] of cases) test(name, () => expect(complaints(yaml)).toEqual(told))
})

test("arguments are what was written, numbers too", () => {
  const [step] = planOf("name: f\nsteps:\n  a: { run: [sleep, 5, 1.10, 010, yes, true, ~user] }\n").steps
  expect(step!.work).toEqual({
    kind: "command",
    argv: ["sleep", "5", "1.10", "010", "yes", "true", "~user"],
    cwd: "/here",
  })
})

test("scripts are scripts, whatever they hold", () => {
  const [step] = planOf("name: f\nsteps:\n  a:\n    sh: |\n      docker ps --format '{{.ID}}'\n").steps
  expect(step!.work).toMatchObject({
    argv: ["sh", "-euc", "docker ps --format '{{.ID}}'\n", "a"],
    isScript: true,
  })
})

const stepsOf = (size: number, pairs: readonly (readonly [number, number])[]) =>
  Array.from({ length: size }, (_, at) => ({
    id: `s${at}`,
    needs: [
      ...new Set(pairs.filter(([child]) => child % size === at).map(([, parent]) => `s${parent % size}`)),
    ],
  }))

test("any steps are put in order, or the circle is shown", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 60 }),
      (size, pairs) => {
        const steps = stepsOf(size, pairs)
        const order = inOrder(steps)
        const circle = circleIn(steps)
        if (!circle) {
          expect(order).toHaveLength(size)
          const place = new Map(order.map(({ id }, at) => [id, at]))
          for (const { id, needs } of steps)
            for (const parent of needs) expect(place.get(parent)!).toBeLessThan(place.get(id)!)
          return
        }
        expect(order.length).toBeLessThan(size)
        expect(circle[0]).toBe(circle.at(-1)!)
        for (const [at, parent] of circle.slice(1).entries()) {
          expect(steps.find(({ id }) => id === circle[at])!.needs).toContain(parent)
        }
      },
    ),
  )
})

test("a drawing has each step once, in order", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 60 }),
      (size, pairs) => {
        const forward = pairs.map(
          ([a, b]) => [Math.max(a % size, b % size), Math.min(a % size, b % size)] as const,
        )
        const steps = stepsOf(
          size,
          forward.filter(([a, b]) => a !== b),
        ).map((step) => ({
          ...step,
          work: { kind: "task" as const, name: "x" },
        }))
        const rows = draw({ name: "f", steps: inOrder(steps) }, () => "o")
        expect(rows.flatMap(({ step }) => step?.id ?? [])).toEqual(inOrder(steps).map(({ id }) => id))
        for (const { lanes, step, mark } of rows) if (step) expect([...lanes][mark!]).toBe("o")
      },
    ),
  )
})

test("a drawing", () => {
  const plan = planOf(`
name: f
steps:
  fetch: { run: [x] }
  split: { needs: fetch, run: [x] }
  count: { needs: fetch, run: [x] }
  check: { needs: split, run: [x] }
  join: { needs: [check, count, fetch], run: [x] }
`)
  const rows = draw(plan, () => "●").map(({ lanes, step }) => (step ? `${lanes} ${step.id}` : lanes))
  expect(rows).toEqual(["● fetch", "├─╮", "● │ split", "│ ● count", "● │ check", "├─╯", "● join"])
})

test("the schema for editors accepts what is right, and finds what it can of what is wrong", () => {
  const validate = new Ajv2020({ strict: false }).compile(schema)
  const accepts = (yaml: string) => validate(parse(yaml))
  expect(accepts(starter)).toBe(true)
  const full = `
name: full
description: all of it
on: { cron: "0 9 * * *", tz: Europe/Berlin }
queue: q
priority: high
input: [1]
steps:
  a: { run: [x, 5, true], retries: 2, backoff: 5s, timeout: 1h30m, queue: r, priority: 3 }
  b: { sh: "echo", needs: a, if: true }
  c: { task: t, with: { x: 1 }, needs: [a, b], map: "{{ steps.a.output }}" }
  d: { llm: { model: m, prompt: p, system: s, json: true, maxTokens: 5, temperature: 0.5 } }
  e: { approve: { message: m, timeout: 5, notify: [mail] } }
  f: { approve: }
onFailure: { run: [x] }
`
  expect(accepts(full)).toBe(true)
  expect(complaints(full)).toEqual([])
  for (const wrong of [
    "run: echo",
    "run: [x], sh: y",
    "run: [x], retry: 3",
    "approve: { massage: x }",
    "llm: { prompt: p }",
  ]) {
    expect({ wrong, accepted: accepts(`name: f\nsteps: { a: { ${wrong} } }`) }).toEqual({
      wrong,
      accepted: false,
    })
    expect(complaints(`name: f\nsteps: { a: { ${wrong} } }`)).not.toEqual([])
  }
})
