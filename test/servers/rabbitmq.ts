/** The RabbitMQ server that tests share: each takes a namespace of its own, and deletes the queues of it. */
import { RabbitServer } from "../support/rabbit-server.ts"
import type { TestServer } from "./server.ts"

const packages = {
  "apt-get": "rabbitmq-server",
  dnf: "rabbitmq-server",
  apk: "rabbitmq-server",
  brew: "rabbitmq",
}

export const rabbitmq: TestServer = {
  variable: "TQ_TEST_AMQP_URL",
  needs: [
    { program: "rabbitmq-server", packages },
    { program: "epmd", packages },
    // Strangers: reference programs 8 and 9.
    {
      program: "amqp-publish",
      packages: {
        "apt-get": "amqp-tools",
        dnf: "librabbitmq-tools",
        apk: "rabbitmq-c-utils",
        brew: "rabbitmq-c",
      },
    },
  ],
  async start(folder) {
    const server = await RabbitServer.start({ folder })
    return { url: server.url, stop: () => server.stop() }
  },
}
