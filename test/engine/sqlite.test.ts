import { sqliteHarness } from "../support/sqlite.ts"
import { conformance } from "./conformance.ts"

conformance("sqlite", sqliteHarness)
