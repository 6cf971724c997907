/**
 * Real files: the checksum of every file under /usr/share/doc by three workers at once, each result compared with sha256sum's own;
 * then once more with one of the workers killed -9 in the middle.
 */
import { timed } from "../bench/measure.ts"
import { runsOf } from "../chaos/processes.ts"
import { leaveTrace, type Scene, waitFor } from "../chaos/scene.ts"
import type { Worker } from "../chaos/worker.ts"
import { count, demand, tasksOf } from "./account.ts"

const folder = "/usr/share/doc"
const concurrency = 2

export async function documents(newScene: () => Scene, say: (line: string) => void): Promise<void> {
  const files = new TextDecoder()
    .decode(await outputOf(["find", folder, "-type", "f", "-readable", "-print0"]))
    .split("\0")
    .filter((file) => file !== "")
  const sums = await sumsOf(files)
  say(`${count(files.length)} files under ${folder}`)
  const objects = files.map((file) => `${JSON.stringify({ name: "sha256sum", args: [file] })}\n`).join("")
  const names = files.map((file) => `${file}\0`).join("")
  await inPeace(newScene(), ["--batch"], objects, sums, say)
  await inPeace(newScene(), ["-0", "sha256sum"], names, sums, say)
  await underFire(newScene(), objects, sums, say)
}

async function inPeace(
  scene: Scene,
  how: readonly string[],
  input: string,
  sums: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const ids = await pushAll(scene, how, input)
  demand(ids.length === sums.length, `${ids.length} ids for ${sums.length} files`)
  const millis = await timed(async () => {
    const workers = [1, 2, 3].map(() => crewMember(scene))
    for (const worker of workers) demand((await worker.exited) === 0, `a worker failed: ${worker.said}`)
  })
  await compare(scene, ids, sums)
  const runs = scene.traced()
  demand(runs.length === ids.length, `${runs.length} runs of ${ids.length} tasks`)
  const shares = [...Map.groupBy(runs, ({ worker }) => worker).values()].map((own) => own.length)
  const took = `${(millis / 1000).toFixed(1)} s, ${count((ids.length / millis) * 1000)} tasks/s`
  say(
    `push ${how.join(" ")}, three workers: every result right, each ran once; ${shares.join(" + ")}; ${took}`,
  )
}

async function underFire(
  scene: Scene,
  input: string,
  sums: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const ids = await pushAll(scene, ["--batch"], input)
  const workers = [1, 2, 3].map(() => crewMember(scene))
  const victim = workers[0]!
  await waitFor("half of the files", () => scene.traced().length > ids.length / 2, 300_000)
  await victim.kill()
  const killed = victim.id
  const start = performance.now()
  await waitFor("no child of the killed worker", () => runsOf(killed).length === 0, 5_000)
  const survived = performance.now() - start
  for (const worker of workers.slice(1))
    demand((await worker.exited) === 0, `a worker failed: ${worker.said}`)
  await compare(scene, ids, sums)
  const runs = Map.groupBy(scene.traced(), ({ id }) => id)
  demand(runs.size === ids.length, `${runs.size} of ${ids.length} tasks ran`)
  const twice = [...runs.values()].filter((own) => own.length > 1)
  demand(twice.length <= concurrency, `${twice.length} tasks ran twice, with ${concurrency} in flight`)
  for (const own of twice) {
    demand(own.length === 2 && own[0]!.worker === killed, `${own[0]!.id} ran ${own.length} times`)
  }
  say(
    `one of three workers killed -9 in the middle: every result right, ${twice.length} of its ${concurrency} places ran twice, its children were gone within ${Math.ceil(survived)} ms`,
  )
}

async function pushAll(scene: Scene, how: readonly string[], input: string): Promise<string[]> {
  const done = await scene.tq(["push", "--quiet", ...how], { stdin: input })
  demand(done.code === 0, `push ${how.join(" ")}: ${done.stderr}`)
  return done.stdout.trim().split("\n")
}

function crewMember(scene: Scene): Worker {
  scene.script("handlers/sha256sum", `${leaveTrace}\nexec sha256sum "$@"`)
  scene.handlers = [`${scene.folder}/handlers`]
  return scene.newborn([scene.binary], ["-c", String(concurrency), "--until-empty"])
}

/** Of all, what is stored; of a few, what `tq result` prints. */
async function compare(scene: Scene, ids: readonly string[], sums: readonly string[]): Promise<void> {
  for (const [index, { state }] of (await tasksOf(scene, ids)).entries()) {
    demand(state.status === "completed", `${ids[index]} is ${state.status}`)
    demand(
      state.result?.data === sums[index],
      `${ids[index]}: ${state.result?.data} instead of ${sums[index]}`,
    )
  }
  for (let index = 0; index < ids.length; index += Math.ceil(ids.length / 50)) {
    const printed = await scene.ok(["result", ids[index]!])
    demand(printed === sums[index], `tq result ${ids[index]} printed ${printed}`)
  }
}

async function sumsOf(files: readonly string[]): Promise<string[]> {
  const output = await outputOf(["xargs", "-0", "sha256sum"], files.join("\0"))
  const lines = new TextDecoder().decode(output).trimEnd().split("\n")
  demand(lines.length === files.length, `sha256sum summed ${lines.length} of ${files.length} files`)
  return lines.map((line) => `${line}\n`)
}

async function outputOf(argv: string[], stdin = ""): Promise<Uint8Array> {
  const child = Bun.spawn(argv, { stdin: Buffer.from(stdin), stdout: "pipe", stderr: "inherit" })
  const bytes = await new Response(child.stdout).bytes()
  demand((await child.exited) === 0, `${argv.join(" ")} failed`)
  return bytes
}
