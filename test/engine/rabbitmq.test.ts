import { rabbitHarness } from "../support/rabbit.ts"
import { conformance } from "./conformance.ts"

conformance("RabbitMQ", rabbitHarness)
