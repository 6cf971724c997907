/** A worker that is the first process of its container: of a process namespace of its own, as container engines make them. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { processes } from "./processes.ts"
import { hold, Scene, waitFor } from "./scene.ts"

/** Process numbers of its children, the dead that nobody has taken in among them. */
const childrenOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)

const contain = (scene: Scene, ...args: string[]) =>
  scene.newborn(["unshare", "--pid", "--fork", "--mount-proc", scene.binary], args)

/** A worker in a container, and the first process of it as seen from outside. */
async function contained(scene: Scene, ...args: string[]) {
  const worker = contain(scene, ...args)
  await worker.ready
  const first = processes().find(
    ({ argv, environment }) => argv[3] === "tq-init" && environment.TQ_URL === scene.env.TQ_URL,
  )
  return { worker, first: first!.pid }
}

test.concurrent("takes in what its tasks leave behind: no zombie stays", async () => {
  await using scene = new Scene()
  const { worker, first } = await contained(scene)
  const orphan = "sleep 0.2 > /dev/null 2>&1 < /dev/null &"
  for (let n = 0; n < 3; n++) await scene.pushShell(`${orphan} setsid ${orphan}`, "--wait")
  await waitFor("only the worker is left", () => childrenOf(first).length === 1)
  process.kill(first, "SIGTERM")
  expect(await worker.exited).toBe(0)
})

test.concurrent.each([
  ["SIGTERM", 0, "pending"],
  ["SIGUSR1", 0, "completed"],
] as const)("hands %s on: the worker ends with %d, the task is %s", async (signal, code, status) => {
  await using scene = new Scene()
  const { worker, first } = await contained(scene, "--grace", "0s")
  const id = await scene.pushShell(hold)
  await scene.until(id, "running")
  process.kill(first, signal)
  if (signal === "SIGUSR1") {
    await worker.says(/draining/)
    scene.go()
  }
  expect(await worker.exited).toBe(code)
  expect(await scene.show(id)).toMatchObject({ status, crashes: 0, failureCount: 0 })
})

test.concurrent("ends as its worker does", async () => {
  await using scene = new Scene()
  await scene.pushShell("exit 3")
  expect(await contain(scene, "--until-empty").exited).toBe(1)
})
