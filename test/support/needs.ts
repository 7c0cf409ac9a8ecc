/**
 * Tests that need something which this machine may not have. Without it they are skipped, with a warning. With
 * `AIRLOCK_TEST_REQUIRE=all` that is a failure.
 */
import { describe } from "vitest"

export interface Need {
  readonly name: string
  /** Why it cannot be used, as a sentence without its full stop. `undefined` if it can. */
  readonly missing: string | undefined
}

export const describeNeeding = (need: Need, name: string, define: () => void): void => {
  if (need.missing === undefined) {
    describe(name, define)
  } else if (process.env["AIRLOCK_TEST_REQUIRE"] === "all") {
    throw new Error(`${need.missing}, and may not be missing`)
  } else {
    console.warn(`SKIPPED, for ${need.missing}: ${name}`)
    describe.skip(`${name} (skipped: no ${need.name})`, define)
  }
}
