/**
 * The headings of Markdown pages.
 */

/** Gives the headings of a page, one after the other, the anchors that GitHub and npm give to them. */
export const makeAnchors = (): (heading: string) => string => {
  const seen = new Map<string, number>()
  return (heading) => {
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-")
    const times = seen.get(anchor) ?? 0
    seen.set(anchor, times + 1)
    return times === 0 ? anchor : `${anchor}-${times}`
  }
}
