import { describe, expect, it } from "@effect/vitest"
import { Duration } from "effect"
import { defaultLimits, resolveLimits } from "../../../src/internal/contract/limits.js"

describe("resolveLimits", () => {
  const application = resolveLimits({ maxIntents: 5, maxCascade: 7 }, defaultLimits)

  it("takes the limits of the options, and the others from the base", () => {
    expect(application).toEqual({ ...defaultLimits, maxIntents: 5, maxCascade: 7 })
    expect(resolveLimits({ maxIntents: 6, policyTimeout: "1 minute" }, application)).toEqual({
      ...application,
      maxIntents: 6,
      policyTimeout: Duration.minutes(1)
    })
  })

  it("is the base itself if the options have no limit", () => {
    expect(resolveLimits({}, application)).toBe(application)
  })
})
