/** `workflow(options)`: a flow whose steps are functions. The other front end is a YAML file; both make one plan. */
import { tryDuration } from "../core/duration.ts"
import { isStepId, type Plan, type Step as PlannedStep } from "../core/flow.ts"
import { isQueueName } from "../core/name.ts"
import { type Priority, parsePriority } from "../core/priority.ts"
import { type FlowDocument, failureStep, isFlowName } from "../flow/document.ts"
import { wire } from "../flow/graph.ts"
import { Problems } from "../flow/problem.ts"
import { type Client, connect, type Handle, type Span } from "./client.ts"
import { describeIssues, noSchema, type StandardSchema } from "./schema.ts"
import { type Handler, type TaskOptions, task } from "./task.ts"

export interface WorkflowOptions<Input = unknown> {
  readonly name: string
  /** A run with an input that it refuses is not started; a step that is given one fails at once. */
  readonly input?: StandardSchema<Input>
  /** Where its steps run unless they say otherwise. */
  readonly queue?: string
  readonly priority?: number | "urgent" | "high" | "normal" | "low"
  /** When it runs by itself. */
  readonly on?: { readonly cron: string; readonly tz?: string }
}

/** A step, for others to name as their parent. */
export interface Step<Output = unknown> {
  readonly name: string
  /** Of the type only. */
  readonly output?: Output
}

export interface StepOptions<Input, Output>
  extends Pick<
    TaskOptions,
    | "queue"
    | "priority"
    | "maxRetries"
    | "backoff"
    | "timeout"
    | "softTimeout"
    | "concurrency"
    | "retryOn"
    | "noRetryOn"
    | "durable"
  > {
  readonly name: string
  /** They must have completed. */
  readonly parents?: readonly Step[]
  /** Gets the run's input; with `map`, the item. */
  readonly fn: Handler<Input, Output>
  /** Skips the step, which then counts as completed with null. */
  readonly skipIf?: Handler<Input, boolean>
}

export interface MapOptions<Item, Output> extends StepOptions<Item, Output> {
  /** A parent whose output is an array: the step is done once for each item. */
  readonly map: Step<readonly Item[]>
}

export interface ApproveOptions {
  readonly name: string
  readonly parents?: readonly Step[]
  readonly message?: string
  /** Nobody's decision within this fails the step. */
  readonly timeout?: Span
}

/** What somebody decided with `tq flow approve`. */
export interface Approval {
  readonly approved: true
  readonly by: string
  readonly comment?: string
  readonly at: number
}

export interface RunOptions {
  /** A second run with the same id writes nothing. */
  readonly id?: string
  readonly queue?: string
  readonly priority?: number | string
  readonly label?: string
  readonly client?: Client
}

export interface Workflow<Input = unknown> {
  readonly name: string
  task<Item, Output>(options: MapOptions<Item, Output>): Step<Output[]>
  task<Output>(options: StepOptions<Input, Output>): Step<Output>
  /** A step that waits for `tq flow approve` or `tq flow deny`, without a slot. */
  approve(options: ApproveOptions): Step<Approval>
  /** Runs when a step has failed; `ctx.failure` says which. */
  onFailure<Output>(options: Omit<StepOptions<Input, Output>, "name" | "parents" | "skipIf">): void
  /** Starts a run; the handle waits for its result: the output of its last step. */
  run(input?: Input, options?: RunOptions): Promise<Handle>
}

/** What a handler returns in place of an output, for a step that had nothing to do. */
export class Skipped {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

const defined = new Map<string, Definition<unknown>>()

/** The flows that handler files have defined so far, as a YAML file would say them. */
export const documents = (): FlowDocument[] =>
  [...defined.values()].map((definition) => definition.document())

/** Defines a flow. Throws TypeError for what makes no sense. */
export function workflow<Input = unknown>(options: WorkflowOptions<Input>): Workflow<Input> {
  const { name, queue, input } = options
  const refuse = refuser(`workflow ${JSON.stringify(name)}`)
  if (typeof name !== "string" || !isFlowName(name)) refuse("bad name: up to 59 letters, digits and . _ -")
  if (defined.has(name)) refuse("is defined twice")
  if (queue !== undefined && !isQueueName(queue)) refuse(`bad queue ${JSON.stringify(queue)}`)
  if (input !== undefined && typeof input?.["~standard"]?.validate !== "function") refuse(noSchema)
  const definition = new Definition<Input>(options, refuse)
  defined.set(name, definition as Definition<unknown>)
  return definition
}

async function complaintOf(schema: StandardSchema, input: unknown): Promise<string | undefined> {
  const { issues } = await schema["~standard"].validate(input)
  return issues && describeIssues(issues)
}

type Refuse = (what: string) => never

const refuser =
  (who: string): Refuse =>
  (what) => {
    throw new TypeError(`${who}: ${what}`)
  }

class Definition<Input> implements Workflow<Input> {
  readonly #options: WorkflowOptions<Input>
  readonly #steps: PlannedStep[] = []
  readonly #known = new Map<string, Step>()
  readonly #refuse: Refuse

  constructor(options: WorkflowOptions<Input>, refuse: Refuse) {
    this.#options = options
    this.#refuse = refuse
  }

  get name(): string {
    return this.#options.name
  }

  task<Item, Output>(options: MapOptions<Item, Output>): Step<Output[]>
  task<Output>(options: StepOptions<Input, Output>): Step<Output>
  task(options: StepOptions<never, unknown> & { readonly map?: Step }): Step<never> {
    const { name, parents = [], map, queue, priority } = options
    const needs = this.#idsOf(name, map && !parents.includes(map) ? [...parents, map] : parents)
    this.#add(name, {
      id: name,
      needs,
      work: { kind: "task", name: this.#handler(name, options) },
      ...(map && { map: `{{ steps.${map.name}.output }}` }),
      ...(queue !== undefined && { queue }),
      ...(priority !== undefined && { priority: this.#priority(priority) }),
    })
    return this.#known.get(name) as Step<never>
  }

  approve({ name, parents = [], message, timeout }: ApproveOptions): Step<Approval> {
    const millis = typeof timeout === "string" ? tryDuration(timeout) : timeout
    if (timeout !== undefined && !(millis !== undefined && millis > 0))
      this.#refuse(`step ${JSON.stringify(name)}: bad timeout ${JSON.stringify(timeout)}`)
    this.#add(name, {
      id: name,
      needs: this.#idsOf(name, parents),
      work: {
        kind: "approve",
        ...(message !== undefined && { message }),
        ...(millis !== undefined && { timeout: millis }),
      },
    })
    return this.#known.get(name) as Step<Approval>
  }

  onFailure<Output>(options: Omit<StepOptions<Input, Output>, "name" | "parents" | "skipIf">): void {
    this.#add(failureStep, {
      id: failureStep,
      needs: [],
      role: "failure",
      work: { kind: "task", name: this.#handler(failureStep, { ...options, name: failureStep }) },
      ...(options.queue !== undefined && { queue: options.queue }),
    })
  }

  async run(input?: Input, options: RunOptions = {}): Promise<Handle> {
    const { client, ...given } = options
    return (client ?? (await connect())).runFlow(this.document(), input, given)
  }

  document(): FlowDocument {
    const { name, queue, priority, on, input } = this.#options
    if (this.#steps.length === 0) this.#refuse("has no steps")
    return {
      plan: this.#plan(name),
      ...(queue !== undefined && { queue }),
      ...(priority !== undefined && { priority: this.#priority(priority) }),
      ...(on && { on }),
      ...(input && { complaint: (value) => complaintOf(input, value) }),
    }
  }

  #plan(name: string): Plan {
    const others = this.#steps.filter(({ role }) => role === undefined).map(({ id }) => id)
    const steps = this.#steps.map((step) => (step.role === "failure" ? { ...step, afterAny: others } : step))
    const problems = new Problems()
    const wired = wire(steps, (id) => [id], problems)
    const [problem] = problems.all
    if (problem) this.#refuse(problem.message)
    return { name, steps: wired }
  }

  #add(name: string, step: PlannedStep): void {
    if (typeof name !== "string" || !isStepId(name))
      this.#refuse(`bad step name ${JSON.stringify(name)}: up to 64 letters, digits and _ -`)
    if (this.#known.has(name)) this.#refuse(`two steps are called ${name}`)
    this.#known.set(name, { name })
    this.#steps.push(step)
  }

  /** Registers the function under the flow's and the step's name. */
  #handler(step: string, options: StepOptions<never, unknown> & { readonly map?: Step }): string {
    const { name: _, parents: __, map, skipIf, fn, queue = this.#options.queue, ...settings } = options
    if (typeof fn !== "function") this.#refuse(`step ${JSON.stringify(step)} needs a function`)
    if (this.#known.has(step)) this.#refuse(`two steps are called ${step}`)
    const name = `${this.name}.${step}`
    // An item is not the run's input.
    const input = map ? undefined : (this.#options.input as StandardSchema | undefined)
    const run: Handler<never, unknown> = skipIf
      ? async (input, ctx) => ((await skipIf(input, ctx)) ? new Skipped("skipIf") : fn(input, ctx))
      : fn
    // Its worker serves the queue.
    task(
      { ...settings, name, ...(queue !== undefined && { queue }), ...(input && { input }) },
      run as Handler<unknown, unknown>,
    )
    return name
  }

  #idsOf(step: string, parents: readonly Step[]): string[] {
    for (const parent of parents) {
      if (this.#known.get(parent.name) !== parent)
        this.#refuse(
          `step ${JSON.stringify(step)}: its parent ${JSON.stringify(parent.name)} is no step of this flow`,
        )
    }
    return [...new Set(parents.map(({ name }) => name))]
  }

  #priority(priority: NonNullable<WorkflowOptions["priority"]>): Priority {
    try {
      return parsePriority(String(priority))
    } catch (error) {
      return this.#refuse((error as Error).message)
    }
  }
}
