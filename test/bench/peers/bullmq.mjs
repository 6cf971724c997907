/**
 * BullMQ as its users run it, on Node: `node bullmq.mjs WHAT PORT …`. Prints one line of JSON, or what the mode says. Everything it
 * is compared in is checked here too: that all jobs are there, that all were completed, that results are kept.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Queue, Worker } from "bullmq"

const [what, port, ...rest] = process.argv.slice(2)
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null }
const queue = new Queue("bench", { connection })
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
const preciseNow = () => performance.timeOrigin + performance.now()

/** `bytes` of JSON in all. */
const dataOf = (bytes) => ({ d: "x".repeat(bytes - 8) })

/** Batches of 500, four on their way at once. */
async function push(count, bytes) {
  const data = dataOf(bytes)
  const batches = Array.from({ length: Math.ceil(count / 500) }, (_, n) => Math.min(500, count - 500 * n))
  const lane = async () => {
    for (let size = batches.pop(); size !== undefined; size = batches.pop()) {
      await queue.addBulk(Array.from({ length: size }, () => ({ name: "noop", data })))
    }
  }
  const start = performance.now()
  await Promise.all([lane(), lane(), lane(), lane()])
  const millis = performance.now() - start
  const { waiting } = await queue.getJobCounts("waiting")
  if (waiting !== count) throw new Error(`${waiting} of ${count} are waiting`)
  return millis
}

/** From the first to the last job that ends. */
async function drain(count, concurrency) {
  const millis = await new Promise((resolve, reject) => {
    let ended = 0
    let first = 0
    const worker = new Worker("bench", async () => ({ ok: true }), { connection, concurrency })
    worker.on("completed", () => {
      if (ended === 0) first = performance.now()
      if (++ended === count) resolve(performance.now() - first)
    })
    worker.on("failed", (_, error) => reject(error))
  })
  const { completed } = await queue.getJobCounts("completed")
  if (completed !== count) throw new Error(`${completed} of ${count} are completed`)
  const [job] = await queue.getCompleted(0, 0)
  if (job?.returnvalue?.ok !== true) throw new Error("a result is wrong")
  return millis
}

/** Each job is added when the one before was picked up, by a worker in a process of its own. */
async function pickup(count) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "wait", port], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next()
  const latencies = []
  for (let n = -20; n < count; n++) {
    const at = preciseNow()
    await queue.add("noop", {})
    const { value } = await lines.next()
    if (n >= 0) latencies.push(Number(value) - at)
    await new Promise((resolve) => setTimeout(resolve, 2 + 3 * Math.random()))
  }
  child.kill()
  latencies.sort((a, b) => a - b)
  return {
    p50: latencies[Math.floor(count * 0.5)],
    p99: latencies[Math.min(count - 1, Math.floor(count * 0.99))],
  }
}

switch (what) {
  case "push":
    print({ millis: await push(Number(rest[0]), Number(rest[1])) })
    break
  case "drain":
    await push(Number(rest[0]), 40)
    print({ millis: await drain(Number(rest[0]), Number(rest[1])) })
    break
  case "add":
    await queue.add("noop", {})
    print({ added: 1 })
    break
  case "pickup":
    print(await pickup(Number(rest[0])))
    break
  case "wait": {
    const worker = new Worker("bench", async () => process.stdout.write(`${preciseNow()}\n`), { connection })
    await worker.waitUntilReady()
    process.stdout.write("ready\n")
    await new Promise(() => undefined)
    break
  }
  // A worker that says of each job that it has begun, and never ends it.
  case "hang": {
    const begin = () => {
      process.stdout.write("begun\n")
      return new Promise(() => undefined)
    }
    const worker = new Worker("bench", begin, { connection })
    await worker.waitUntilReady()
    process.stdout.write("ready\n")
    await new Promise(() => undefined)
    break
  }
  default:
    throw new Error(`what is ${what}?`)
}
process.exit(0)
