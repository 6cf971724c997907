/** What a store provides to be tested, and the stage on which each rule is played: one empty store, engines, workers. */
import type { Claim } from "../../../src/core/claim.ts"
import type { Millis } from "../../../src/core/clock.ts"
import type { TaskId } from "../../../src/core/id.ts"
import type { Status, TaskState } from "../../../src/core/state.ts"
import type { TaskRecord } from "../../../src/core/task.ts"
import type { Engine, StoredTask, WorkerInfo } from "../../../src/engine/engine.ts"
import { Actor } from "../../support/actor.ts"
import type { TestClock } from "../../support/clock.ts"

/** One kind of store, as its own test file describes it. */
export interface Harness {
  readonly supports: Engine["supports"]
  /** Whether days can go by at once. Where not, `pass` takes as long as it says, and rules about long spans are left out. */
  readonly timeTravel: boolean
  /** Whether `peer.ts` can open such a store in a process of its own. */
  readonly processes: boolean
  /** `false`: a task that becomes pending again, or later, stands behind those of its priority that were pending before. */
  readonly keepsPlaces?: false
  /** How many random lives are played; a store that takes its time lives fewer. 40 unless told. */
  readonly lives?: number
  /** A span long enough that nothing falls due by accident, short enough to let it go by. */
  readonly soon: Millis
  /** An empty store. */
  start(): Promise<Ground>
}

export interface Ground {
  /** Another process of the store, as far as the store can tell; opened. */
  engine(): Promise<Engine>
  /** The process behind the engine dies without a word. */
  kill(engine: Engine): Promise<void>
  /** Where the engines read monotonic time. */
  readonly clock: TestClock
  /** So much of the store's time goes by. */
  pass(span: Millis): Promise<void>
  /** The command line of a real second process on the store: `test/support/peer.ts`. */
  readonly peer?: readonly string[]
  remove(): Promise<void>
}

type Ids<T extends readonly unknown[]> = { -readonly [K in keyof T]: TaskId }

export class Stage {
  readonly engine: Engine
  readonly ground: Ground
  readonly soon: Millis
  readonly keepsPlaces: boolean
  /** How long the rule has let time go by. */
  passed: Millis = 0
  readonly #engines: Engine[]
  #actors: Actor[] = []
  #tasks = 0
  #workers = 0

  constructor(harness: Harness, ground: Ground, engine: Engine) {
    this.ground = ground
    this.engine = engine
    this.#engines = [engine]
    this.soon = harness.soon
    this.keepsPlaces = harness.keepsPlaces ?? true
  }

  async clear(): Promise<void> {
    for (const engine of this.#engines) await engine.close()
    await this.ground.remove()
  }

  /** An engine of another process on the same store. */
  async another(): Promise<Engine> {
    const engine = await this.ground.engine()
    this.#engines.push(engine)
    return engine
  }

  /** The process behind an engine dies without a word. */
  async kill(engine: Engine): Promise<void> {
    this.#engines.splice(this.#engines.indexOf(engine), 1)
    this.#actors = this.#actors.filter((actor) => actor.engine !== engine)
    await this.ground.kill(engine)
  }

  /** From now on this is the worker with its id. */
  replace(actor: Actor): void {
    this.#actors = [...this.#actors.filter(({ id }) => id !== actor.id), actor]
  }

  /** The worker leaves for good. */
  async dismiss(actor: Actor): Promise<void> {
    this.#actors = this.#actors.filter((other) => other !== actor)
    await actor.engine.leave(actor.ref)
  }

  pass(span: Millis): Promise<void> {
    this.passed += span
    return this.ground.pass(span)
  }

  /** A record with an id of its own. */
  readonly task = (fields: Partial<TaskRecord> = {}): TaskRecord => {
    this.#tasks++
    return {
      id: `task-${this.#tasks}`,
      name: "job",
      queue: "default",
      priority: 5,
      createdAt: this.ground.clock.now(),
      body: `{"v":1}\n${this.#tasks}`,
      ...fields,
    }
  }

  /** Pushes tasks that must all be created. @returns their ids */
  async push<const T extends readonly Partial<TaskRecord>[]>(...fields: T): Promise<Ids<T>> {
    const tasks = fields.map((some) => this.task(some))
    const { results } = await this.engine.push(tasks)
    const refused = results.find(({ outcome }) => outcome !== "created")
    if (refused || results.length < tasks.length) throw new Error(`not created: ${JSON.stringify(refused)}`)
    return tasks.map(({ id }) => id) as Ids<T>
  }

  /** A worker of its own engine that has beaten once. */
  async worker(info: Partial<WorkerInfo> = {}, engine = this.engine): Promise<Actor> {
    this.#workers++
    const id = info.name ?? `worker-${this.#workers}`
    const actor = new Actor(engine, {
      ref: { id, session: 1 },
      name: id,
      host: "here",
      pid: 1,
      version: "0",
      startedAt: this.ground.clock.now(),
      status: "running",
      concurrency: 4,
      running: 0,
      completed: 0,
      failed: 0,
      queues: ["default"],
      handlers: ["*"],
      commands: true,
      ...info,
    })
    this.#actors.push(actor)
    await actor.beat()
    return actor
  }

  /** A worker in a process of its own. */
  async stranger(info: Partial<WorkerInfo> = {}): Promise<Actor> {
    return this.worker(info, await this.another())
  }

  /** Sweeps until the store has noticed that `dead` is dead, while all others beat. @returns all the orphans it leaves */
  async bury(sweeper: Actor, dead: Actor, limit = 100) {
    for (let looks = 0; looks < 60; looks++) {
      const swept = await sweeper.sweep(limit)
      if (swept.deadWorkers.includes(dead.id)) {
        const orphans = [...swept.orphans]
        for (let { more } = swept; more; ) {
          const next = await sweeper.sweep(limit)
          orphans.push(...next.orphans)
          more = next.more
        }
        return orphans
      }
      this.ground.clock.pass(5_000)
      for (const actor of this.#actors) if (actor.id !== dead.id) await actor.beat()
    }
    throw new Error(`${dead.id} was never taken for dead`)
  }

  /** Sweeps until there are so many orphans, while all who live beat and time goes by for whoever has to notice a death. */
  async inherit(heir: Actor, count: number, limit = 100) {
    const orphans: Claim[] = []
    for (let looks = 0; orphans.length < count && looks < 60; looks++) {
      orphans.push(...(await heir.sweep(limit)).orphans)
      this.ground.clock.pass(5_000)
      for (const actor of this.#actors) await actor.beat()
    }
    return orphans
  }

  async look(id: TaskId): Promise<StoredTask> {
    const [task] = await this.engine.get([id])
    if (!task) throw new Error(`there is no task ${id}`)
    return task
  }

  async state(id: TaskId): Promise<TaskState> {
    return (await this.look(id)).state
  }

  async status(id: TaskId): Promise<Status> {
    return (await this.state(id)).status
  }

  /** The states of several tasks; `gone` where there is none. */
  async statuses(ids: readonly TaskId[]): Promise<(Status | "gone")[]> {
    return (await this.engine.get(ids)).map((task) => task?.state.status ?? "gone")
  }
}
