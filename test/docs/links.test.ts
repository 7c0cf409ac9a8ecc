/**
 * README is the way into the docs. `npm run test:docs` checks that each link leads somewhere.
 */
import { expect, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"

const linksOf = (page: string): ReadonlyArray<string> =>
  [...readFileSync(page, "utf8").matchAll(/\]\((?!https?:)([^)#\s]+\.md)/g)].map(([, path]) =>
    normalize(join(dirname(page), path!))
  )

it("README leads to each page of docs/ in one or two steps", () => {
  const direct = linksOf("README.md").filter((page) => existsSync(page))
  const reached = new Set([...direct, ...direct.flatMap(linksOf)])
  const pages = readdirSync("docs", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"))
  expect(pages.length).toBeGreaterThan(30)
  expect(pages.map((name) => join("docs", name)).filter((page) => !reached.has(page))).toEqual([])
})
