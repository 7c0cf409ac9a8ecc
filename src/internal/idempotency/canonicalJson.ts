/**
 * One text for all ways to write a JSON value: without whitespace, with the names of objects in order. Numbers that JavaScript
 * cannot keep apart stay apart.
 *
 * @internal
 */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false })

/** A string, or a number outside of a string. */
const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** `undefined` if the bytes are no JSON. @internal */
export const canonicalJson = (bytes: Uint8Array): string | undefined => {
  try {
    const text = utf8.decode(bytes)
    // Checks the syntax: what follows would accept wrong numbers.
    JSON.parse(text)
    return write(JSON.parse(text.replace(token, (found) =>
      found.startsWith("\"")
        ? `"s${found.slice(1)}`
        : JSON.stringify(`n${numberText(found)}`))))
  } catch {
    return undefined
  }
}

/** Up to 15 digits, a number and its shortest text are one and the same. */
const numberText = (text: string): string =>
  text.replace(/[eE].*$/, "").replaceAll(/\D/g, "").replace(/^0+/, "").length <= 15 && Number.isFinite(Number(text)) &&
    (Number(text) !== 0 || !/[1-9]/.test(text.replace(/[eE].*$/, "")))
    ? String(Number(text) === 0 ? 0 : Number(text))
    : text

const write = (value: unknown): string =>
  typeof value !== "object" || value === null
    ? JSON.stringify(value)
    : Array.isArray(value)
    ? `[${value.map(write).join(",")}]`
    : `{${
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, value]) =>
        `${JSON.stringify(name)}:${write(value)}`
      ).join(",")
    }}`
