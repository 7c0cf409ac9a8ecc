import { describe, expect, it } from "vitest"
import { Source } from "./source.js"

const source = new Source(
  "settle.ts",
  `
export const settle = (scope: Scope) => {
  // A comment.
  const open = scope.state === "open" && !scope.closed && (scope.size > 0)
  return report(\`in \${scope.name}\`, { size: scope.size, open: true })
}

export class Relay {
  claim(rows: Rows) { return this.store.query("state = 'held' AND state <> 'dead'", rows) }
  release(rows: Rows) { return this.store.query("state = 'held'", rows) }
}
`
)

const found = (code: string, symbol: string) =>
  source.declarations(symbol).flatMap((node) => source.find(code, node)).map(({ end, start }) =>
    source.text.slice(start, end)
  )

describe("finding code", () => {
  it("ignores formatting, semicolons and commas at the end of a list", () => {
    expect(found("report( `in ${ scope.name }`,\n  { size: scope.size, open: true, }, );", "settle")).toHaveLength(1)
  })

  it("ignores comments", () => {
    expect(found("const open = scope.state === \"open\" && !scope.closed && /* why */ (scope.size > 0)", "settle"))
      .toHaveLength(1)
  })

  it("takes whole parts of the syntax only", () => {
    expect(found("scope.state === \"open\" && !scope.closed", "settle")).toHaveLength(1)
    expect(found("!scope.closed && (scope.size > 0)", "settle")).toEqual([])
    expect(found("> 0", "settle")).toEqual(["> 0"])
    expect(found("name", "settle")).toEqual(["name"])
  })

  it("looks only inside the symbol", () => {
    expect(found("this.store.query", "Relay")).toHaveLength(2)
    expect(found("this.store.query", "Relay.claim")).toHaveLength(1)
    expect(found("this.store.query", "settle")).toEqual([])
  })

  it("finds a declaration inside a function", () => {
    expect(found("scope.closed", "settle.open")).toHaveLength(1)
    expect(source.declarations("settle.closed")).toEqual([])
  })

  it("finds text inside strings and templates, not in code", () => {
    const [claim] = source.declarations("Relay.claim")
    expect(source.findText("state", claim!)).toHaveLength(2)
    expect(source.findText("rows", claim!)).toEqual([])
    expect(source.findText("in ", source.declarations("settle")[0])).toHaveLength(1)
  })

  it("names what resembles code that does not occur", () => {
    const [settle] = source.declarations("settle")
    const [nearest] = source.nearest("scope.state === \"closed\"", settle!)
    expect(source.text.slice(nearest!.start, nearest!.end)).toBe("scope.state === \"open\"")
  })
})

it("replaces code, and removes the comma after a property that goes", () => {
  const [settle] = source.declarations("settle")
  const [property] = source.find("size: scope.size", settle)
  expect(source.replaced(property!, "")).toMatch(/{ +open: true }/)
  expect(source.replaced(property!, "size: 0")).toContain("{ size: 0, open: true }")
})
