/**
 * Patterns of text: of the paths of files, and of the names of modules.
 *
 * @internal
 */

/** `*` stands for any text without a `/`, and `**` for any text. @internal */
export const matches = (pattern: string, text: string): boolean =>
  new RegExp(
    `^${
      pattern.replaceAll(
        /\*\*\/|\*\*|\*|[^\w/*]/g,
        (part) => part === "**/" ? "(?:.*/)?" : part === "**" ? ".*" : part === "*" ? "[^/]*" : `\\${part}`
      )
    }$`
  ).test(text)
