/** What flows need and plain RabbitMQ does not have is refused before anything is pushed. */
import { expect, test } from "bun:test"
import { Sandbox } from "../support/cli.ts"
import { dropNamespace, freshNamespace } from "../support/rabbit.ts"
import { sharedRabbit } from "../support/rabbit-server.ts"

test("flows, events and durable tasks on RabbitMQ without a store", async () => {
  const url = await sharedRabbit()
  const namespace = freshNamespace()
  try {
    await using box = new Sandbox()
    box.env.TQ_URL = url
    box.env.TQ_NAMESPACE = namespace
    box.write("flow.yaml", "name: f\nsteps:\n  a: { run: [x] }\n")
    box.write("durable.ts", 'import { task } from "tq"\ntask({ name: "t", durable: true }, async () => 1)\n')
    const calls = [
      ["flow", "run", "flow.yaml"],
      ["flow", "list"],
      ["flow", "show", "x"],
      ["event", "send", "go"],
      ["work", "durable.ts"],
    ]
    for (const call of calls) {
      const { code, stderr } = await box.tq(call)
      expect({ call, code }).toEqual({ call, code: 78 })
      expect(stderr).toContain("unsupported by RabbitMQ without a store: add --store")
    }
    expect((await box.tq(["flow", "check", "flow.yaml"])).code).toBe(0)
  } finally {
    await dropNamespace(url, namespace, ["default"])
  }
})
