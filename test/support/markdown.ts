/**
 * The headings of a page, as GitHub makes anchors of them.
 */

const withoutCode = (page: string): string => page.replaceAll(/^ *(`{3,})[\s\S]*?^ *\1$/gm, "")

/** Returns a function that gives the anchor of each heading of a page, from the first to the last. */
export const makeAnchors = (): (heading: string) => string => {
  const seen = new Map<string, number>()
  return (heading) => {
    const slug = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-")
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  }
}

/** The anchors of a page. */
export const anchorsOf = (page: string): ReadonlySet<string> => {
  const anchorOf = makeAnchors()
  return new Set([...withoutCode(page).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => anchorOf(heading!)))
}

/** The links of a page that lead to no other host, as path and anchor. Both may be empty. */
export const linksOf = (page: string): ReadonlyArray<{ readonly path: string, readonly anchor: string }> =>
  [...withoutCode(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].map((
    [, path = "", anchor = ""]
  ) => ({
    path,
    anchor
  }))
