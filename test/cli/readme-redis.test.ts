/** The README's examples of programs that know nothing of tq, as they stand but for the server's address. */
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Sandbox, waitFor } from "../support/cli.ts"
import { RedisServer } from "../support/redis-server.ts"

const readme = readFileSync(join(import.meta.dir, "..", "..", "README.md"), "utf8")
const section = readme.slice(readme.indexOf("### Programs that know nothing of tq"))
const block = (language: string): string =>
  new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "ms").exec(section)![1]!

test("a shell and a Python program give work to a worker that waits", async () => {
  await using box = new Sandbox()
  await using server = await RedisServer.start()
  box.env.TQ_URL = server.url
  const log = box.path("log")
  box.handler("orders", `echo "orders $(cat)" >> ${log}`)
  box.handler("resize", `echo "resize $(cat)" >> ${log}`)
  await box.worker(["handlers", "-q", "orders", "-c", "1"])

  const shell = block("sh").replaceAll("redis-cli", `redis-cli -p ${server.port}`)
  expect(await box.sh(shell)).toMatchObject({ code: 0, stderr: "" })
  const program = block("python").replace('"queue.internal"', `"127.0.0.1", ${server.port}`)
  // Debian's own Python has the packages of Debian.
  expect(await box.run(["/usr/bin/python3", "-c", program])).toEqual({ code: 0, stdout: "", stderr: "" })

  await waitFor(async () => (await box.json(["list", "--status=completed"])).length === 3)
  expect((await Bun.file(log).text()).trimEnd().split("\n").toSorted()).toEqual([
    'orders {"task_id": "2", "action": "process", "data": "test"}',
    'orders {"task_id":"1","action":"process","data":"test"}',
    'resize {"id":7}',
  ])
  expect((await box.json(["list", "--name=resize"]))[0]!.priority).toBe(2)
})
