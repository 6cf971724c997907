import { describe, expect, test } from "bun:test"
import { TqError } from "../../src/core/errors.ts"
import { parseAddress, refuseDistant } from "../../src/engine/rabbitmq/address.ts"
import { isAtLeast } from "../../src/engine/rabbitmq/wire.ts"
import { freePort } from "../support/port.ts"
import { rabbitEngine } from "../support/rabbit.ts"
import { RabbitServer, sharedRabbit } from "../support/rabbit-server.ts"
import { makeCertificates } from "../support/redis-tls.ts"
import { tempFolder } from "../support/temp.ts"

describe("an address", () => {
  test("has the usual values where nothing is said", () => {
    expect(parseAddress("amqp://broker")).toMatchObject({
      hosts: [{ name: "broker", port: 5672 }],
      user: "guest",
      password: "guest",
      vhost: "/",
      heartbeat: 5_000,
      queues: "priority",
      location: "amqp://broker",
    })
  })

  test("names user, vhost, several hosts, options", () => {
    const url = "amqps://ada:s%40crt@a:1,b,[::1]:2/%2Fteam?heartbeat=3s&queues=quorum&consumerTimeout=1h"
    expect(parseAddress(url)).toMatchObject({
      hosts: [
        { name: "a", port: 1 },
        { name: "b", port: 5671 },
        { name: "::1", port: 2 },
      ],
      user: "ada",
      password: "s@crt",
      vhost: "/team",
      heartbeat: 3_000,
      queues: "quorum",
      consumerTimeout: 3_600_000,
      tls: { rejectUnauthorized: true },
      location: "amqps://ada:***@a:1,b,[::1]:2/%2Fteam",
    })
  })

  test.each([
    "amqp://",
    "amqp://host:port",
    "amqp://host?heartbeet=3s",
    "amqp://host?heartbeat=soon",
    "amqp://host?queues=classic",
    "amqp://host/%zz",
    "amqps://host?ca=/nowhere",
  ])("that makes no sense is refused: %s", (url) => {
    expect(() => parseAddress(url)).toThrow(TqError)
  })

  test("of another machine does not go with a file of this one", () => {
    for (const near of ["amqp://localhost", "amqp://127.0.0.1:5,[::1]"]) refuseDistant(near)
    expect(() => refuseDistant("amqp://localhost,broker.example.org")).toThrow("another machine")
  })

  test("versions are compared by their numbers", () => {
    expect(isAtLeast("3.10.8", "3.10")).toBe(true)
    expect(isAtLeast("3.9.29", "3.10")).toBe(false)
    expect(isAtLeast("3.11.15", "3.11.15")).toBe(true)
    expect(isAtLeast("3.11.9", "3.11.15")).toBe(false)
    expect(isAtLeast("4.3.0-rc.1", "4.3")).toBe(true)
  })
})

describe("a connection", () => {
  const codeOf = async (url: string): Promise<string> => {
    const engine = rabbitEngine(url, "tq")
    try {
      await engine.open()
      return "open"
    } catch (error) {
      return error instanceof TqError ? error.code : String(error)
    } finally {
      await engine.close()
    }
  }

  test("goes to whichever host answers; wrong credentials and vhosts are told from silence", async () => {
    const url = await sharedRabbit()
    const dead = `127.0.0.1:${await freePort()}`
    expect(await codeOf(url.replace("amqp://", `amqp://${dead},`))).toBe("open")
    expect(await codeOf(`amqp://${dead}`)).toBe("unreachable")
    expect(await codeOf(url.replace("amqp://", "amqp://ada:wrong@"))).toBe("denied")
    expect(await codeOf(`${url}/nowhere`)).toBe("unreachable")
  })

  test("over TLS: the certificate is verified, and so is ours", async () => {
    const folder = tempFolder()
    try {
      const { ca, cert, key, clientCert, clientKey } = makeCertificates(folder.path)
      const port = await freePort()
      await using _ = await RabbitServer.start({
        config: [
          `listeners.ssl.1 = 127.0.0.1:${port}`,
          `ssl_options.cacertfile = ${ca}`,
          `ssl_options.certfile = ${cert}`,
          `ssl_options.keyfile = ${key}`,
          "ssl_options.verify = verify_peer",
          "ssl_options.fail_if_no_peer_cert = true",
        ],
      })
      const ours = `cert=${clientCert}&key=${clientKey}`
      expect(await codeOf(`amqps://127.0.0.1:${port}?ca=${ca}&${ours}`)).toBe("open")
      expect(await codeOf(`amqps://127.0.0.1:${port}?${ours}`)).toBe("denied")
      expect(["unreachable", "denied"]).toContain(await codeOf(`amqps://127.0.0.1:${port}?ca=${ca}`))
    } finally {
      folder.remove()
    }
  })
})
