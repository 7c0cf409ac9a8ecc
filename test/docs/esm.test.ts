import { createRequire } from "node:module"
import { expect, it } from "vitest"

it("a require of the package is an error that says what to do", () => {
  const require = createRequire(import.meta.url)
  for (const name of ["effect-airlock", "effect-airlock/Outbox"]) {
    expect(() => require(name)).toThrow("effect-airlock is ESM only")
  }
})
