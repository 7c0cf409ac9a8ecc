import { expect, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"

it("OutboxSuite has each test that the table of crossings in docs/semantics.md names", () => {
  const docs = readFileSync("docs/semantics.md", "utf8")
  const suite = readdirSync("src/testing/suite").map((file) => readFileSync(`src/testing/suite/${file}`, "utf8"))
    .join("").replaceAll(/\s+/g, " ")
  const shown = [...docs.slice(docs.indexOf("## Crossings")).matchAll(/\| "([^|]+)" +\|$/gm)].map(([, name]) => name!)
  expect(shown.length).toBeGreaterThan(25)
  expect(shown.filter((name) => !suite.includes(`"${name}", `))).toEqual([])
})
