/**
 * What tq's queues and exchanges are called. The queues of tasks bear their names verbatim in the namespace `tq`, so that strangers find
 * them; in another namespace `NAMESPACE.queue`. The ladder is there once for all namespaces of a vhost.
 */
import { TqError } from "../../core/errors.ts"

/** Exchange where due tasks leave the ladder. */
export const due = "tq.due"
/** Exchange and queue for tasks whose queue was deleted while they were on the ladder. */
export const unroutable = "tq.unroutable"
/** Declared last: where it is, the ladder is whole. */
export const ladder = "tq.delay"
/** Exchange and queue of a rung of the ladder. */
export const rung = (level: number): string => `${ladder}.${String(level).padStart(2, "0")}`

const isOwn = (name: string): boolean => name === unroutable || /^tq\.(delay|hold)\./.test(name)

export class Names {
  readonly #namespace: string
  readonly #isDefault: boolean
  /** Exchange at which workers hear questions and orders. */
  readonly workers: string

  constructor(namespace: string) {
    this.#namespace = namespace
    this.#isDefault = namespace === "tq"
    this.workers = `${namespace}.workers`
  }

  queue(name: string): string {
    if (this.#isDefault && isOwn(name)) {
      throw new TqError("usage", `bad queue name ${JSON.stringify(name)}: tq uses it for itself on RabbitMQ`)
    }
    return this.#isDefault ? name : `${this.#namespace}.${name}`
  }

  /** The dead-letter queue. */
  dead(name: string): string {
    return `${this.queue(name)}.dead`
  }

  /** Where a worker's long tasks of a queue are kept while they run. */
  hold(worker: string, queue: string): string {
    return `tq.hold.${worker}.${this.queue(queue)}`
  }
}
