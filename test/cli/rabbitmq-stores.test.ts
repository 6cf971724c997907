/** Flows and schedules on RabbitMQ with either store beside it: the store keeps them, the broker delivers their tasks. */
import { describe, expect, test } from "bun:test"
import { waitFor } from "../support/cli.ts"
import { brokers, StoreSandbox } from "../support/stores.ts"

const workflow = `
name: sums
steps:
  one:
    sh: echo 1
  two:
    sh: echo 2
  sum:
    needs: [one, two]
    run: [printf, '{"of":[%s,%s]}', "{{ steps.one.output }}", "{{ steps.two.output }}"]
`

describe.each(brokers)("%s", (store) => {
  test("the steps of a flow run in order, and its result is printed", async () => {
    await using box = await StoreSandbox.on(store)
    box.write("sums.yaml", workflow)
    await box.worker(["-c", "4"])
    const { code, stdout, stderr } = await box.tq(["flow", "run", "sums.yaml", "--wait"])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '{"of":[1,2]}\n' })
    const [run] = await box.json(["flow", "show", stderr.split("\n")[0]!])
    expect(run).toMatchObject({ flow: "sums", status: "completed", result: { of: [1, 2] } })
    expect((await box.json(["list", "--status", "completed"])).length).toBeGreaterThanOrEqual(3)
  })

  test("a schedule is kept in the store, and each of its ticks runs once", async () => {
    await using box = await StoreSandbox.on(store)
    const handlers = box.handler("note", `echo "$TQ_TASK_ID $TQ_CRON $TQ_TICK" >> ${box.path("notes")}`)
    const added = await box.tq(["cron", "add", "e", "@every 500ms", "note", "--catchup", "all"])
    expect(added).toMatchObject({ code: 0 })
    expect(added.stderr).not.toContain("kept on this machine")
    const workers = [await box.worker([handlers]), await box.worker([handlers])]
    const notes = async () =>
      (await box.sh("cat notes 2>/dev/null || true")).stdout.split("\n").filter((line) => line !== "")
    await waitFor(async () => (await notes()).length >= 6)
    await box.ok(["cron", "remove", "e"])
    // What has been fired ends.
    await waitFor(async () => (await box.json(["list", "--status", "pending,running"])).length === 0)
    for (const worker of workers) await worker.signal("SIGTERM")
    const ids = (await notes()).map((line) => line.split(" ")[0]!)
    expect(ids.toSorted()).toEqual([...new Set(ids)].toSorted())
    const listed = await box.json(["list", "--name", "note"])
    expect(listed.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    expect(ids[0]).toMatch(/^cron:e:1:\d+$/)
  })
})
