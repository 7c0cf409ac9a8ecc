import { expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

it("OutboxSuite has each test that the table of crossings in docs/semantics.md names", () => {
  const docs = readFileSync("docs/semantics.md", "utf8")
  const suite = readFileSync("src/testing/OutboxSuite.ts", "utf8").replaceAll(/\s+/g, " ")
  const shown = [...docs.slice(docs.indexOf("## Crossings")).matchAll(/\| "([^|]+)" +\|$/gm)].map(([, name]) => name!)
  expect(shown.length).toBeGreaterThan(25)
  expect(shown.filter((name) => !suite.includes(`"${name}", `))).toEqual([])
})
