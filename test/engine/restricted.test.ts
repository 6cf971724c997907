import { restrictedHarness } from "../support/restricted.ts"
import { sqliteHarness } from "../support/sqlite.ts"
import { conformance } from "./conformance.ts"

conformance("an engine that does no more than it must", restrictedHarness(sqliteHarness))
