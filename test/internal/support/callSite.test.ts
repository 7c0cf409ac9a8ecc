import { afterEach, describe, expect, it } from "vitest"
import { callSite } from "../../../src/internal/support/callSite.js"

const enqueue = () => callSite(enqueue)

const userCode = () => enqueue()

const before = Object.getOwnPropertyDescriptors(Error)

afterEach(() => {
  Object.defineProperties(Error, before)
})

describe("callSite", () => {
  it("is the frame of the caller", () => {
    expect(userCode()).toMatch(/^at userCode \(.*callSite\.test\.ts/)
  })

  const formatters: Record<string, unknown> = {
    "that throws": () => {
      throw new Error("no")
    },
    "that gives the frames themselves": (_: Error, frames: ReadonlyArray<unknown>) => frames,
    "that gives nothing": () => undefined,
    "that gives one line": () => "Error"
  }
  for (const [what, prepareStackTrace] of Object.entries(formatters)) {
    it(`is found, and Error stays as it was, with a formatter of the application ${what}`, () => {
      Object.assign(Error, { prepareStackTrace, stackTraceLimit: 7 })
      expect(userCode()).toMatch(/^at userCode \(.*callSite\.test/)
      expect(Error.stackTraceLimit).toBe(7)
      expect(Error.prepareStackTrace).toBe(prepareStackTrace)
    })
  }

  it("restores a limit that is not set", () => {
    Object.assign(Error, { stackTraceLimit: undefined })
    userCode()
    expect(Error.stackTraceLimit).toBeUndefined()
  })

  it("does no harm where Error cannot be changed", () => {
    Object.defineProperty(Error, "stackTraceLimit", { ...before.stackTraceLimit, writable: false })
    expect(userCode).not.toThrow()
  })
})
