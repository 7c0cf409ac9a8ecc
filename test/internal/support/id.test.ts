import { describe, expect, it } from "@effect/vitest"
import { makeId } from "../../../src/internal/support/id.js"

describe("the ids of makeId", () => {
  it("are UUIDs of version 7 that carry their time", () => {
    const id = makeId(4_102_444_800_000)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(4_102_444_800_000)
  })

  it("are unique and sorted by creation, even many of one millisecond", () => {
    const ids = Array.from({ length: 50_000 }, () => makeId(4_102_444_800_001))
    expect(new Set(ids).size).toBe(ids.length)
    expect([...ids].sort()).toEqual(ids)
  })

  it("differ in their random bits from one millisecond to the next", () => {
    const tails = Array.from({ length: 1000 }, (_, i) => makeId(4_102_444_900_000 + i).slice(-12))
    expect(new Set(tails).size).toBe(tails.length)
    expect(tails.every((tail) => /^[0-9a-f]{12}$/.test(tail))).toBe(true)
  })

  it("stay sorted when the clock goes back", () => {
    const first = makeId(4_102_444_800_002)
    const second = makeId(1)
    expect(second > first).toBe(true)
  })
})
