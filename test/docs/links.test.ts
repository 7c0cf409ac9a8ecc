/**
 * Every link of README and docs/ to another page, a file or a heading leads there.
 */
import { expect, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { makeAnchors } from "../support/markdown.js"

const markdown = (folder: string, recursive: boolean): ReadonlyArray<string> =>
  readdirSync(folder, { recursive, encoding: "utf8" }).filter((name) => name.endsWith(".md")).map((name) =>
    normalize(join(folder, name))
  )

const pages = [...markdown(".", false), ...markdown("docs", true)]

/** A page without its examples, whose code may look like a heading or a link. */
const proseOf = (page: string): string => readFileSync(page, "utf8").replaceAll(/^```[\s\S]*?^```$/gm, "")

const anchorsOf = (page: string): ReadonlySet<string> => {
  const anchorOf = makeAnchors()
  return new Set([...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!)))
}

/** The links of a page that lead nowhere. */
const brokenIn = (page: string, prose: string): ReadonlyArray<string> =>
  [...prose.matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(([link, path, anchor]) => {
    const target = path === "" ? page : normalize(join(dirname(page), decodeURI(path!)))
    const leads = existsSync(target) && (anchor === undefined || anchorsOf(target).has(anchor))
    return leads ? [] : [`${page}: ${link.slice(1)}`]
  })

it("the links of README and docs/ lead to files and headings that exist", () => {
  expect(pages).toContain("README.md")
  expect(pages.length).toBeGreaterThan(30)
  expect(pages.flatMap((page) => brokenIn(page, proseOf(page)))).toEqual([])
})

it("a link that leads nowhere is noticed", () => {
  const links = "[1](docs/nowhere.md) [2](#nowhere) [3](docs/sql.md#nowhere) [4](docs/sql.md#in-tests) [5](#try-it)"
  expect(brokenIn("README.md", links)).toEqual([
    "README.md: (docs/nowhere.md)",
    "README.md: (#nowhere)",
    "README.md: (docs/sql.md#nowhere)"
  ])
})

it("README leads to each page of docs/ in one or two steps", () => {
  const linksOf = (page: string): ReadonlyArray<string> =>
    [...proseOf(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]+)/g)].map(([, path]) =>
      normalize(join(dirname(page), path!))
    )
  const direct = linksOf("README.md").filter((page) => page.endsWith(".md"))
  const reached = new Set([...direct, ...direct.flatMap(linksOf)])
  expect(pages.filter((page) => page.startsWith("docs") && !reached.has(page))).toEqual([])
})
