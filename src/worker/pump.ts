/**
 * The claim loop: settles what has ended and claims for the free slots, both in one round trip.
 *
 * Beside it runs the listener, one outstanding `wait`: it wakes the pump when a claim may succeed, and the heartbeat when an
 * order waits. While every slot is taken it listens for orders only.
 *
 * Neither keeps the event loop to itself: a store that answers at once, as the embedded one does, would otherwise hold up the
 * heartbeat for as long as there is something to do.
 *
 * A call that was not answered may have been carried out: tasks may be leased to this worker that it has never seen. Before its
 * next call it tells the store, under a raised session, which leases it holds; the others go back.
 */
import type { Claim, Lease } from "../core/claim.ts"
import type { Clock, Millis, Random } from "../core/clock.ts"
import { isPassing, messageOf, TqError } from "../core/errors.ts"
import type { Demand, Settled, Settlement, Wake } from "../engine/engine.ts"
import { failpoint } from "../failpoint.ts"
import type { Link } from "./link.ts"
import { orderOf, type ServedQueue } from "./serving.ts"

export interface Room {
  readonly starting: number
  /** Not less than `starting`: the rest is claimed ahead. */
  readonly limit: number
}

export interface PumpOptions {
  readonly link: Link
  readonly clock: Clock
  readonly random: Random
  readonly queues: () => readonly ServedQueue[]
  /** How many more tasks could start now, and how many are wanted in all; 0 while the worker stops, drains or rests. */
  readonly room: () => Room
  /** Ends worth waiting for, to be settled together; 1 when there is nothing to wait for. */
  readonly gathering: () => number
  /** @param isAhead claimed ahead of free slots */
  readonly start: (claim: Claim, isAhead: boolean) => void
  /** An end was accepted by the store. */
  readonly settled: (settlement: Settlement) => void
  /** It was refused: the lease was gone. */
  readonly lost: (settlement: Settlement) => void
  /** The store took this worker for dead, or knows a later session of it. */
  readonly fenced: () => void
  /** Tells the store under a raised session what this worker holds. @returns whether it has heard */
  readonly resync: () => Promise<boolean>
  /** An order waits in the store. Resolves when it was fetched, or could not be. */
  readonly ordered: () => Promise<void>
  /** The store does not answer or cannot write: said once, until it is over. */
  readonly trouble: (message: string | undefined) => void
}

const noRoom: Room = { starting: 0, limit: 0 }
/** Bodies claimed at once. */
const claimBytes = 32 << 20
/** Ends wait for one another no longer than this. */
const gatherFor: Millis = 2
/** Outcomes written at once. */
const settleBatch = 500
/** A stopping worker does not wait longer for a store that takes no results: as a dead worker's, its tasks return. */
const partingPatience: Millis = 10_000
/** A plain claim at least this often, whatever the wake-up says. */
const claimEvery: Millis = 5_000
/** The event loop gets its turn at least this often. */
const longestHold: Millis = 5
/** The listener's pause after an order, or after many wake-ups that brought nothing: the store may wake it at once again. */
const longestPause: Millis = 32

export class Pump {
  readonly #options: PumpOptions
  readonly #outbox: Settlement[] = []
  /** Taken from the outbox, not yet answered. */
  #underWay: readonly Settlement[] = []
  #mustResync = false
  #abandon: (() => void) | undefined
  #hungry = true
  #troubledSince: Millis | undefined
  /** Monotonic: when something in the store becomes due, as the last claim said. */
  #dueAt: Millis | undefined
  #poked: (() => void) | undefined
  #isPoked = false
  #isClosed = false
  #turned = Promise.withResolvers<void>()
  #armed: { readonly forWork: boolean; readonly abort: AbortController } | undefined
  /** Monotonic time of the last turn: the watchdog's proof that the loop lives. */
  lastTurn: Millis
  #lastBreath: Millis = 0
  /** Found nothing at the last claim. */
  foundNothing = false

  constructor(options: PumpOptions) {
    this.#options = options
    this.lastTurn = options.clock.mono()
  }

  /** Leases whose ends are not yet accepted. */
  get leases(): Lease[] {
    return [...this.#underWay, ...this.#outbox].map(({ outcome }) => outcome.lease)
  }

  submit(settlement: Settlement): void {
    this.#outbox.push(settlement)
    this.poke()
  }

  /** Something changed that the loop should look at. */
  poke(): void {
    this.#isPoked = true
    const poked = this.#poked
    this.#poked = undefined
    poked?.()
  }

  /** A claim may succeed now. */
  lookForWork(): void {
    this.#hungry = true
    this.poke()
  }

  /** Before its next call to the store, the pump sees to it that the store knows what this worker holds. */
  resyncFirst(): void {
    this.#mustResync = true
    this.lookForWork()
  }

  /** The client was replaced: an answer to the call under way would come from nowhere. */
  abandonCall(): void {
    this.#abandon?.()
    this.resyncFirst()
  }

  /** Runs until `close`, and then until everything is settled. Rejects when the store is gone for good. */
  async run(): Promise<void> {
    const listening = this.#listen()
    try {
      while (!this.#isClosed || this.#outbox.length > 0) {
        await this.#turn()
        await this.#breathe()
        const { resolve } = this.#turned
        this.#turned = Promise.withResolvers()
        resolve()
      }
    } finally {
      this.#isClosed = true
      this.#armed?.abort.abort()
      this.#turned.resolve()
      await listening
    }
  }

  close(): void {
    this.#isClosed = true
    this.#armed?.abort.abort()
    this.poke()
  }

  async #breathe(): Promise<void> {
    const { clock } = this.#options
    if (clock.mono() - this.#lastBreath > longestHold) {
      await new Promise((resolve) => setImmediate(resolve))
      this.#lastBreath = clock.mono()
    }
    this.lastTurn = clock.mono()
  }

  get #room(): Room {
    return this.#isClosed ? noRoom : this.#options.room()
  }

  async #turn(): Promise<void> {
    if (this.#mustResync) {
      this.#mustResync = !(await this.#options.resync())
      if (this.#mustResync) await this.#endure(new TqError("unreachable", "the store does not answer"))
      return
    }
    const wantsWork = this.#room.limit > 0
    // While it is known that there is more, nobody needs to listen for it.
    if (wantsWork && !this.#hungry && this.#armed && !this.#armed.forWork) this.#armed.abort.abort()
    if (this.#outbox.length === 0 && !(wantsWork && this.#hungry)) {
      await this.#rest()
      return
    }
    await this.#gather()
    // What has ended meanwhile has left room.
    const room = this.#room
    this.#underWay = this.#outbox.splice(0, settleBatch)
    let reply: Settled
    try {
      reply = await this.#exchange(this.#underWay, room)
    } catch (error) {
      this.#outbox.unshift(...this.#underWay)
      this.#underWay = []
      await this.#endure(error)
      return
    }
    this.#options.trouble(undefined)
    this.#troubledSince = undefined
    const settled = this.#underWay
    this.#underWay = []
    this.#heed(reply, settled, room)
  }

  /** Rejects too when the call is abandoned. */
  async #exchange(batch: readonly Settlement[], room: Room): Promise<Settled> {
    const abandoned = Promise.withResolvers<never>()
    this.#abandon = () =>
      abandoned.reject(new TqError("unreachable", "the connection to the store was replaced"))
    try {
      return await Promise.race([this.#call(batch, room), abandoned.promise])
    } finally {
      this.#abandon = undefined
    }
  }

  async #call(batch: readonly Settlement[], room: Room): Promise<Settled> {
    const { engine, ref } = this.#options.link
    const demand = room.limit > 0 ? this.#demand(room) : undefined
    if (batch.length > 0 || !demand) {
      failpoint("before-settle")
      const settled = await engine.settle(ref, batch, demand)
      failpoint("after-settle")
      return settled
    }
    return { ...(await engine.claim(ref, demand)), lost: [] }
  }

  /** Waits for troubles to pass: the results are kept until the store takes them. Others end the worker. */
  async #endure(error: unknown): Promise<void> {
    this.#troubledSince ??= this.#options.clock.mono()
    const isTooLate = this.#isClosed && this.#options.clock.mono() - this.#troubledSince > partingPatience
    if (!isPassing(error) || isTooLate) throw error
    if (error.code === "unreachable") this.#mustResync = true
    this.#options.trouble(messageOf(error))
    await this.#catchBreath()
  }

  async #catchBreath(): Promise<void> {
    await Bun.sleep(250 + 750 * this.#options.random())
  }

  #demand({ starting, limit }: Room): Demand {
    const names = orderOf(this.#options.queues(), this.#options.random)
    return { queues: names.map((name) => ({ name, limit })), limit, starting, bytes: claimBytes }
  }

  #heed(reply: Settled, batch: readonly Settlement[], { starting, limit }: Room): void {
    const lost = new Set(reply.lost)
    for (const settlement of batch) {
      const { lease } = settlement.outcome
      const isLost =
        lost.size > 0 && [...lost].some(({ id, epoch }) => id === lease.id && epoch === lease.epoch)
      if (isLost) this.#options.lost(settlement)
      else this.#options.settled(settlement)
    }
    if (reply.standing !== "live") {
      this.#options.fenced()
      return
    }
    if (limit > 0) {
      this.#dueAt = reply.wakeIn === undefined ? undefined : this.#options.clock.mono() + reply.wakeIn
      this.#hungry = reply.claims.length > 0 || reply.wakeIn === 0
      this.foundNothing = reply.claims.length === 0 && reply.wakeIn !== 0
    }
    if (reply.claims.length > 0) failpoint("after-claim")
    reply.claims.forEach((claim, index) => {
      this.#options.start(claim, index >= starting)
    })
  }

  /** A commit of hundreds costs little more than a commit of one. */
  async #gather(): Promise<void> {
    const { clock, gathering } = this.#options
    if (this.#outbox.length === 0) return
    const until = clock.mono() + gatherFor
    while (this.#outbox.length < gathering() && !this.#isClosed) {
      const left = until - clock.mono()
      if (left <= 0) return
      await this.#awaitPoke(left)
      this.#isPoked = false
    }
  }

  /** Waits for a poke. */
  async #awaitPoke(most: Millis): Promise<void> {
    if (this.#isPoked) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, most)
      this.#poked = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#poked = undefined
  }

  async #rest(): Promise<void> {
    await this.#awaitPoke(claimEvery)
    // A rest that nobody ended was long enough for a plain claim.
    if (!this.#isPoked) this.#hungry = true
    this.#isPoked = false
  }

  async #listen(): Promise<void> {
    let pause = 1
    while (!this.#isClosed) {
      const forWork = this.#options.room().limit > 0 && !this.#hungry
      const abort = new AbortController()
      this.#armed = { forWork, abort }
      const wake = await this.#wait(forWork, abort.signal)
      this.#armed = undefined
      if (this.#isClosed) return
      const isWork = forWork && wake !== "orders" && !abort.signal.aborted
      if (isWork) this.#hungry = true
      // Not again before the pump has looked: a wait for what is already there returns at once.
      const turned = this.#turned.promise
      this.poke()
      await turned
      if (wake === "orders") {
        await this.#options.ordered()
        await Bun.sleep(longestPause)
      } else if (isWork && this.foundNothing) {
        await Bun.sleep(pause)
        pause = Math.min(longestPause, 2 * pause)
      } else pause = 1
    }
  }

  async #wait(forWork: boolean, signal: AbortSignal): Promise<Wake> {
    const { engine, ref } = this.#options.link
    const names = forWork ? this.#options.queues().map(({ name }) => name) : []
    const untilDue =
      this.#dueAt === undefined ? claimEvery : Math.max(0, this.#dueAt - this.#options.clock.mono())
    try {
      return await engine.wait(ref, names, Math.min(claimEvery, forWork ? untilDue : claimEvery), signal)
    } catch (error) {
      // The pump's own calls meet the same trouble and tell of it.
      if (!(error instanceof TqError)) throw error
      await Bun.sleep(500)
      return "nothing"
    }
  }
}
