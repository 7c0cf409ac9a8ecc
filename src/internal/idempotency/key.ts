/**
 * Reads an idempotency key from its header: a string of RFC 8941 (`"abc"`), or the bare text (`abc`).
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"

/** A key is at most this long. @internal */
export const maxKeyLength = 255

/** The key, or what is wrong with the header. @internal */
export type ParsedKey = { readonly key: string } | { readonly problem: string }

/**
 * Parses the value of the header. Both forms of a key are the same key. Without quotes a key consists of visible ASCII characters
 * other than quotes, commas, semicolons and backslashes, because these would be parts of a list or of parameters.
 *
 * @internal
 */
export const parseKey = (value: string): ParsedKey => {
  // Escapes make a string at most twice as long.
  if (value.length > 2 * maxKeyLength + 2) {
    return tooLong
  }
  const quoted = /^ *"((?:[ !#-[\]-~]|\\["\\])*)" *$/.exec(value)
  const key = quoted === null ? /^ *([!#-+\--:<-[\]-~]+) *$/.exec(value)?.[1] : quoted[1]!.replaceAll(/\\(.)/g, "$1")
  return key === undefined
    ? { problem: "It must be one string in quotes, or visible ASCII characters without quotes, commas and semicolons." }
    : key === ""
    ? { problem: "It is empty." }
    : key.length > maxKeyLength
    ? tooLong
    : { key }
}

const tooLong = { problem: `It is longer than ${maxKeyLength} characters.` }

/**
 * Whether a header was sent more than once. Node joins the values with commas, and keeps the names and values as they came.
 *
 * @internal
 */
export const isRepeated = (source: unknown, header: string, value: string): boolean =>
  value.includes(",") && Predicate.hasProperty(source, "rawHeaders") && Array.isArray(source.rawHeaders) &&
  source.rawHeaders.filter((name, i) => i % 2 === 0 && String(name).toLowerCase() === header).length > 1
