/**
 * Prints an error of any kind whole: its tag, message, fields, stack and causes, as text or as data.
 *
 * Code of users can fail with any value. Printing never throws, its result is bounded, and what is redacted stays redacted.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Fiber from "effect/Fiber"
import * as FiberRefs from "effect/FiberRefs"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { refsOf } from "./effectInternals.js"

/** How deep objects and causes are printed, and how many values and frames of one error. */
const maxDepth = 6
const maxValues = 500
const maxFrames = 30

/** The maximum length of one text, and of the fields of one error. */
const maxText = 10_000
const maxFields = 4_000

const unprintable = "[cannot be printed]"

/** What JSON can hold. @internal */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** The parts of an error. */
interface Printed {
  readonly tag: string | undefined
  /** The name of its class, if it is an Error. */
  readonly name: string | undefined
  readonly message: string
  readonly fields: { readonly [key: string]: Json }
  readonly frames: ReadonlyArray<string>
  /** The error that caused it. */
  readonly cause: Printed | undefined
  /** The other errors of its Effect. */
  readonly also: ReadonlyArray<Printed>
}

/** In one line: `MailRefused: no such address {"status":550}`. @internal */
export const printHeadline = (error: unknown): string => headlineOf(partsOf(error), "short")

/** In full. @internal */
export const printError = (error: unknown): string => {
  const parts = partsOf(error)
  return headlineOf(parts, "long") + detailsOf(parts)
}

/** What {@link printError} adds to the headline: the stack and the causes. Empty, or begins with a newline. @internal */
export const printDetails = (error: unknown): string => detailsOf(partsOf(error))

/** All errors of a Cause in full. @internal */
export const printCause = (cause: Cause.Cause<unknown>): string => errorsOf(cause).map(printError).join("\n")

/** As data for structured logs. @internal */
export const errorToJson = (error: unknown): { readonly [key: string]: Json } => toJson(partsOf(error))

/** Any value as data for structured logs. @internal */
export const valueToJson = (value: unknown): Json => dataOf(value, newWalk()) ?? null

/** All errors of a Cause. The first one is that of `Cause.squash`. @internal */
export const errorsOf = (cause: Cause.Cause<unknown>): readonly [unknown, ...Array<unknown>] => {
  const squashed = Cause.squash(cause)
  const all = new Set<unknown>([squashed, ...Chunk.appendAll(Cause.failures(cause), Cause.defects(cause))])
  all.delete(squashed)
  return [squashed, ...all]
}

/** Shortens a text to a number of bytes in UTF-8, and then says so. @internal */
export const shortenBytes = (text: string, maxBytes: number): string => {
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= maxBytes) {
    return text
  }
  const end = ` ... (${bytes.length} bytes)`
  // A character of which only a part is left is decoded to U+FFFD.
  return new TextDecoder().decode(bytes.subarray(0, maxBytes - end.length)).replace(/\uFFFD$/, "") + end
}

const partsOf = (error: unknown, walk: Walk = newWalk()): Printed => {
  try {
    return typeof error !== "object" || error === null || Inspectable.isRedactable(error)
      ? justMessage(asText(dataOf(error, walk)))
      : walk.isExhausted()
      ? justMessage("...")
      : walk.inside(error, () => partsOfObject(error, walk), isOurs(error)) ?? justMessage("[circular]")
  } catch {
    return justMessage(unprintable)
  }
}

const justMessage = (message: string): Printed => ({
  tag: undefined,
  name: undefined,
  message: message === "" ? "\"\"" : message,
  fields: {},
  frames: [],
  cause: undefined,
  also: []
})

/** What an object may have that is thrown or failed with. Each property may be missing, or throw. */
interface ErrorLike {
  readonly _tag?: unknown
  readonly name?: unknown
  readonly message?: unknown
  readonly stack?: unknown
  readonly cause?: unknown
  readonly also?: unknown
  readonly errors?: unknown
  readonly toJSON?: unknown
}

const partsOfObject = (error: ErrorLike, walk: Walk): Printed => {
  const isError = error instanceof Error
  const data = isError ? undefined : dataOfObject(error, walk)
  if (data !== undefined && !isRecord(data)) {
    // Its own `toJSON` gives no fields: a Redacted, an Option, a list.
    return justMessage(asText(data))
  }
  const message = messageOf(error)
  const cause = read(() => error.cause)
  const ours = isOurs(error)
  // The messages of this package contain their fields.
  const fields = ours ? {} : isError ? fieldsOf(error, cause, walk) : fieldsIn(data ?? {})
  const also = ours ? error.also : undefined
  return {
    tag: textAt(() => error._tag),
    name: isError ? textAt(() => error.name) ?? "Error" : undefined,
    message: message === "" && !isError && Object.keys(fields).length === 0 && !("_tag" in error)
      ? textOfEmpty(error) ?? "{}"
      : message,
    fields,
    // The messages of this package contain the place of the call too.
    frames: ours ? [] : [...framesOf(error, message), ...spansOf(error)],
    cause: cause === undefined || cause === null ? undefined : partsOf(cause, walk),
    also: Array.isArray(also) ? also.map((other) => partsOf(other, walk)) : []
  }
}

const isRecord = (data: Json): data is { readonly [key: string]: Json } =>
  typeof data === "object" && data !== null && !Array.isArray(data)

/** The text of an object without fields: that of its class, if it has a `toString`, else the name of its class. */
const textOfEmpty = (value: object): string | undefined => {
  const text = read(() => ownText(value))
  const name = read(() => value.constructor?.name)
  return value instanceof Promise
    ? "a Promise"
    : text !== undefined
    ? shorten(text)
    : typeof name === "string" && name !== "" && name !== "Object"
    ? `${name} {}`
    : undefined
}

/** The text of an object whose class has a `toString`. */
const ownText = (value: object): string | undefined =>
  "toString" in value && value.toString !== Object.prototype.toString ? String(value) : undefined

const messageOf = (error: ErrorLike): string => {
  const message = textAt(() => error.message) ?? ""
  // The message that a Schema makes from the fields says nothing more than the fields.
  return schemaOf(error)?.fields !== undefined && message.startsWith("{ ") && message.endsWith(" }") ? "" : message
}

/** The class of an error, if a Schema defines it. */
const schemaOf = (error: object): { readonly identifier?: unknown, readonly fields?: unknown } | undefined =>
  typeof error.constructor === "function" && "fields" in error.constructor ? error.constructor : undefined

const isOurs = (error: object): boolean => String(schemaOf(error)?.identifier).startsWith("effect-airlock/")

const defaultToJson = read(() => (Data.Error.prototype as ErrorLike).toJSON)

/** Properties of an Error that are printed in a way of their own. */
const ownPlaces = new Set(["_tag", "_id", "name", "message", "stack", "cause"])

const fieldsOf = (error: ErrorLike, cause: unknown, walk: Walk): Printed["fields"] => {
  const toJSON = read(() => error.toJSON)
  const shown: unknown = typeof toJSON === "function" && toJSON !== defaultToJson
    ? read(() => toJSON.call(error), error)
    : error
  if (!Predicate.isObject(shown)) {
    return {}
  }
  const fields: Record<string, Json> = {}
  for (const key of Object.keys(shown)) {
    // An UnknownException has its cause twice.
    if (!ownPlaces.has(key) && !(cause !== undefined && read(() => Reflect.get(shown, key)) === cause)) {
      set(fields, key, dataOf(read(() => Reflect.get(shown, key), unprintable), walk))
    }
  }
  if (Array.isArray(error.errors) && fields["errors"] === undefined) {
    // The errors of an AggregateError are not enumerable.
    set(fields, "errors", dataOf(error.errors, walk))
  }
  return fields
}

const fieldsIn = (data: { readonly [key: string]: Json }): Printed["fields"] =>
  Object.fromEntries(
    Object.entries(data).filter(([key, value]) =>
      key !== "cause" && !(typeof value === "string" && (key === "_tag" || key === "message" || key === "stack"))
    )
  )

/** The frames of a stack, without those of this package and of Effect. */
const framesOf = (error: ErrorLike, message: string): ReadonlyArray<string> => {
  const stack = textAt(() => error.stack) ?? ""
  const begin = message === "" ? -1 : stack.indexOf(message)
  const frames = (begin < 0 ? stack : stack.slice(begin + message.length)).split("\n")
    .filter((line) => /^\s*at\s/.test(line) || /@.*:\d+:\d+$/.test(line))
    .filter(isForeign)
  return frames.slice(0, maxFrames).map((line) =>
    line.trim().replace(/at .*effect_instruction_i.*\((.*)\)/, "at $1").replace(/EffectPrimitive\.\w+/, "<anonymous>")
  )
}

/** Whether a frame is neither of this package nor of Effect. */
const isForeign = (frame: string): boolean =>
  !/[\\/]node_modules[\\/]effect(?:-airlock)?[\\/]|Generator\.next \(|effect_internal_function/.test(frame)

const spanKey = Symbol.for("effect/SpanAnnotation")

/** The spans in which an error arose, as Effect prints them. */
const spansOf = (error: object): ReadonlyArray<string> => {
  if (!(spanKey in error)) {
    return []
  }
  const alone = Object.assign(new Error("span"), { stack: "", [spanKey]: error[spanKey] })
  return Cause.pretty(Cause.fail(alone)).split("\n").slice(1).map((line) => line.trim()).filter(isForeign)
}

const headlineOf = ({ fields, message, name, tag }: Printed, form: "short" | "long"): string => {
  const shown = Object.keys(fields).length === 0 ? "" : shorten(JSON.stringify(fields), maxFields)
  const title = tag ?? (form === "short" && name === "Error" && message !== "" ? undefined : name) ?? ""
  const text = [title, message].filter((part) => part !== "").join(": ")
  return [text, shown].filter((part) => part !== "").join(" ")
}

const detailsOf = ({ also, cause, frames, message }: Printed): string => {
  const lines = frames.map((frame) => `\n    ${frame}`)
  if (cause !== undefined) {
    // Some messages already contain that of the cause.
    lines.push(
      message.includes(headlineOf(cause, "short"))
        ? detailsOf(cause)
        : `\n  [cause]: ${indent(headlineOf(cause, "long") + detailsOf(cause))}`
    )
  }
  for (const other of also) {
    lines.push(`\n  [also]: ${indent(headlineOf(other, "long") + detailsOf(other))}`)
  }
  return lines.join("")
}

/** Indents the lines of a text, but not the first one. @internal */
export const indent = (text: string): string => text.replaceAll("\n", "\n  ")

const toJson = (
  { also, cause, fields, frames, message, name, tag }: Printed
): { readonly [key: string]: Json } => ({
  ...(tag === undefined ? name !== undefined && { name } : { _tag: tag }),
  ...(message !== "" && { message }),
  ...fields,
  ...(frames.length > 0 && { stack: frames.join("\n") }),
  ...(cause !== undefined && { cause: toJson(cause) }),
  ...(also.length > 0 && { also: also.map(toJson) })
})

/** The values around the one that is printed, and how many values may still follow. */
interface Walk {
  /**
   * Calls a function with an object, unless the object is inside itself. An object that adds nothing to what is printed does
   * not count: what is inside it is printed as it is printed alone.
   */
  readonly inside: <A>(object: object, f: () => A, addsNothing?: boolean) => A | undefined
  readonly isExhausted: () => boolean
}

const newWalk = (): Walk => {
  const around = new Set<object>()
  let left = maxValues
  let uncounted = 0
  return {
    isExhausted: () => left <= 0 || around.size - uncounted > maxDepth,
    inside: (object, f, addsNothing = false) => {
      if (around.has(object)) {
        return undefined
      }
      const counts = addsNothing && uncounted < maxDepth ? 0 : 1
      left -= counts
      uncounted += 1 - counts
      around.add(object)
      try {
        return f()
      } finally {
        around.delete(object)
        uncounted -= 1 - counts
      }
    }
  }
}

/** A value as data. `undefined` if there is none. */
const dataOf = (value: unknown, walk: Walk): Json | undefined => {
  switch (typeof value) {
    case "string":
      return shorten(value)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
    case "undefined":
      return value
    case "bigint":
      return `${value}n`
    case "symbol":
      return String(value)
    case "function":
      return "[Function]"
    case "object":
      try {
        return value === null
          ? null
          : walk.isExhausted()
          ? "..."
          : walk.inside(value, () => {
            const data = dataOfObject(value, walk) ?? {}
            return isRecord(data) && Object.keys(data).length === 0 ? textOfEmpty(value) ?? data : data
          }) ?? "[circular]"
      } catch {
        return unprintable
      }
  }
}

const dataOfObject = (value: object, walk: Walk): Json | undefined => {
  if (Inspectable.isRedactable(value)) {
    return dataOf(value[Inspectable.symbolRedactable](currentRefs()), walk)
  }
  if (value instanceof Error) {
    return toJson(partsOfObject(value, walk))
  }
  const http = textOfHttp(value)
  if (http !== undefined) {
    return http
  }
  const toJSON = read(() => (value as ErrorLike).toJSON)
  const json: unknown = typeof toJSON === "function" ? read(() => toJSON.call(value), value) : value
  if (json !== value) {
    return dataOf(json, walk)
  }
  if (Array.isArray(value) || value instanceof Set) {
    const items: Array<Json> = []
    for (const item of value) {
      if (walk.isExhausted() || items.length === maxValues) {
        items.push("...")
        break
      }
      items.push(dataOf(item, walk) ?? null)
    }
    return items
  }
  if (ArrayBuffer.isView(value)) {
    return `[${value.byteLength} bytes]`
  }
  return value instanceof Map
    ? dataOfEntries([...value].map(([key, entry]) => [asText(dataOf(key, walk)), entry]), walk)
    : dataOfEntries(Object.keys(value).map((key) => [key, read(() => Reflect.get(value, key), unprintable)]), walk)
}

/** A part of HTTP of `@effect/platform`, or the data that its `toJSON` gave. */
interface HttpPart {
  readonly _id?: unknown
  readonly method?: unknown
  readonly url?: unknown
  readonly status?: unknown
  readonly contentLength?: unknown
}

const isHttp = (value: HttpPart, name: string): boolean =>
  Symbol.for(`@effect/platform/${name}`) in value || value._id === `@effect/platform/${name}`

/** A request or a response in short. Its body, its headers and the query of its URL may hold secrets. */
const textOfHttp = (value: HttpPart): string | undefined =>
  isHttp(value, "HttpBody")
    ? typeof value.contentLength === "number" ? `[${value.contentLength} bytes]` : "[body]"
    : isHttp(value, "HttpClientResponse") || isHttp(value, "HttpServerResponse")
    ? `status ${value.status}`
    : isHttp(value, "HttpClientRequest") || isHttp(value, "HttpServerRequest")
    ? `${value.method} ${String(value.url).replace(/[?#].*/s, "")}`
    : undefined

/** Headers that are never printed, wherever a field has their name. */
const secretHeaders = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"])

const dataOfEntries = (entries: ReadonlyArray<readonly [string, unknown]>, walk: Walk): Json => {
  const data: Record<string, Json> = {}
  for (const [key, value] of entries.slice(0, maxValues)) {
    set(data, key, dataOf(value, walk))
  }
  return data
}

const set = (data: Record<string, Json>, key: string, value: Json | undefined): void => {
  if (value !== undefined) {
    // An assignment to `__proto__` would set the prototype.
    Object.defineProperty(data, key, {
      value: secretHeaders.has(key.toLowerCase()) ? "<redacted>" : value,
      enumerable: true,
      configurable: true,
      writable: true
    })
  }
}

/** The FiberRefs say which headers of HTTP are redacted. */
const currentRefs = (): FiberRefs.FiberRefs =>
  Option.match(Fiber.getCurrentFiber(), { onNone: FiberRefs.empty, onSome: refsOf })

const asText = (data: Json | undefined): string => typeof data === "string" ? data : JSON.stringify(data) ?? "undefined"

const shorten = (text: string, max = maxText): string => text.length <= max ? text : `${text.slice(0, max)}...`

const textAt = (get: () => unknown): string | undefined => {
  const text = read(get, unprintable)
  return typeof text === "string" && text !== "" ? shorten(text) : undefined
}

/** Reads a property that may throw. */
function read<A>(get: () => A, otherwise?: A): A | undefined {
  try {
    return get()
  } catch {
    return otherwise
  }
}
