/** What both engines on RabbitMQ, with a store and without, have of the broker: connections, queues, the ladder, who publishes. */
import type { Clock, Millis, Random } from "../../core/clock.ts"
import { type TaskId, ulids } from "../../core/id.ts"
import { type Address, parseAddress } from "./address.ts"
import { Dispatch } from "./dispatch.ts"
import { Ladder } from "./ladder.ts"
import { Names } from "./names.ts"
import { Publisher } from "./publisher.ts"
import { type QueueOptions, Queues } from "./queues.ts"
import { Replies } from "./replies.ts"
import { RollCall } from "./rollcall.ts"
import { Wire } from "./wire.ts"

export interface RabbitOptions {
  readonly url: string
  readonly namespace: string
  readonly clock: Clock
  readonly random: Random
  readonly patience?: Millis
  /** Holds the password; wins over one in the URL. */
  readonly passwordFile?: string
  /** `[queues]` of tq.toml. */
  readonly queues?: Readonly<Record<string, QueueOptions>>
  /** Further queues that tq.toml speaks of: those that tasks are routed to. */
  readonly routed?: readonly string[]
}

export class Broker {
  readonly address: Address
  readonly names: Names
  readonly clock: Clock
  readonly random: Random
  readonly patience: Millis
  readonly newId: () => TaskId
  /** Publishes and asks. */
  readonly out: Wire
  /** Takes and acknowledges. */
  readonly in: Wire
  readonly queues: Queues
  readonly ladder: Ladder
  readonly publisher: Publisher
  readonly dispatch: Dispatch
  readonly replies: Replies
  readonly rollCall: RollCall

  constructor({
    url,
    namespace,
    clock,
    random,
    patience = 10_000,
    passwordFile,
    queues = {},
  }: RabbitOptions) {
    this.address = parseAddress(url, passwordFile)
    this.names = new Names(namespace)
    this.clock = clock
    this.random = random
    this.patience = patience
    this.newId = ulids(clock, random)
    this.out = new Wire(this.address, "tq", patience, random)
    this.in = new Wire(this.address, "tq worker", patience, random)
    this.queues = new Queues(this.out, this.names, patience, this.address.queues, queues)
    this.ladder = new Ladder(this.out, patience)
    this.publisher = new Publisher(this.out, patience)
    this.dispatch = new Dispatch(this)
    this.replies = new Replies(this.publisher, patience)
    this.rollCall = new RollCall({ ...this, wire: this.out })
  }

  async close(): Promise<void> {
    await Promise.all([this.out.close(), this.in.close()])
  }
}
