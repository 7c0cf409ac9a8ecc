/**
 * Validates, encodes and decodes payloads by their Schema. An issue names a path and the expected type, and never a value.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { AnyTask } from "../../Intent.js"
import { asEither } from "./asEither.js"
import { hidesJson, isJsonSafe, issuesOfJson } from "./json.js"

const checks = new WeakMap<AnyTask, (payload: unknown) => boolean>()

interface Encoder {
  readonly encode: (payload: unknown) => unknown
  /** Whether JSON keeps everything that it encodes. Otherwise each value is checked. */
  readonly isJsonSafe: boolean
  /** Whether only decoding shows what JSON loses. */
  readonly hidesJson: boolean
}

const encoders = new WeakMap<AnyTask, Encoder>()

// `Task.make` accepts only a Schema that needs no services.
const schemaOf = (task: AnyTask) => task.payloadSchema as Schema.Schema.AnyNoContext

/** @internal */
export const isValid = (task: AnyTask, payload: unknown): boolean => {
  let check = checks.get(task)
  if (check === undefined) {
    check = Schema.is(schemaOf(task))
    checks.set(task, check)
  }
  try {
    return check(payload)
  } catch {
    // A filter of the Schema threw. The enqueue must then be a defect, and must not throw when its Effect is constructed.
    return false
  }
}

const encoderOf = (task: AnyTask): Encoder => {
  let encoder = encoders.get(task)
  if (encoder === undefined) {
    const schema = schemaOf(task)
    encoder = {
      encode: Schema.encodeSync(schema),
      isJsonSafe: isJsonSafe(schema.ast),
      hidesJson: hidesJson(schema.ast)
    }
    encoders.set(task, encoder)
  }
  return encoder
}

/** Encodes a valid payload as JSON. Throws if that is not possible. @internal */
export const encode = (task: AnyTask, payload: unknown): string =>
  JSON.stringify(encoderOf(task).encode(payload)) ?? "null"

/**
 * Encodes a valid payload as JSON, or returns the issues that prevent it. JSON must not change a payload that an outbox stores.
 *
 * @internal
 */
export const encodeOrIssues = (
  task: AnyTask,
  payload: unknown,
  isStored: boolean
): string | ReadonlyArray<string> => {
  try {
    const encoder = encoderOf(task)
    const value = encoder.encode(payload)
    const encoded = JSON.stringify(value) ?? "null"
    const issues = isStored && !encoder.isJsonSafe ? issuesOfJson(value) : []
    return issues.length > 0 ? issues : isStored && encoder.hidesJson ? encodedOrIssues(task, encoded) : encoded
  } catch (error) {
    return [`payload: cannot be encoded (${error instanceof Error ? error.name : "its Schema threw"})`]
  }
}

/** The size of an encoded payload in bytes of UTF-8. @internal */
export const bytesOf = (encoded: string): number => new TextEncoder().encode(encoded).length

interface Decoder {
  /** Stops at the first issue, and needs much less time for it than `inFull`. */
  readonly atOnce: (value: unknown) => Either.Either<unknown, ParseResult.ParseIssue>
  readonly inFull: (value: unknown) => Effect.Effect<unknown, ParseResult.ParseIssue>
  /** Whether the Schema was found to be asynchronous. */
  isAsync: boolean
}

const decoders = new WeakMap<AnyTask, Decoder>()

const decoderOf = (task: AnyTask): Decoder => {
  let decoder = decoders.get(task)
  if (decoder === undefined) {
    const schema = schemaOf(task)
    decoder = {
      atOnce: ParseResult.decodeUnknownEither(schema),
      inFull: ParseResult.decodeUnknown(schema, { errors: "all" }),
      isAsync: false
    }
    decoders.set(task, decoder)
  }
  return decoder
}

/**
 * Decodes an encoded payload that was parsed, or fails with its issues. Returns an Either unless the Schema is asynchronous: an
 * Either is an Effect that needs no fiber.
 *
 * @internal
 */
export const decode = (task: AnyTask, value: unknown): Effect.Effect<unknown, ReadonlyArray<string>> => {
  try {
    const decoder = decoderOf(task)
    const quick = decoder.isAsync ? undefined : decoder.atOnce(value)
    if (quick !== undefined && Either.isRight(quick)) {
      return Either.right(quick.right)
    }
    const decoded = decoder.inFull(value)
    const either = asEither(decoded)
    if (either !== undefined) {
      return Either.mapLeft(either, issuesIn)
    }
    decoder.isAsync = true
    return Effect.catchAllDefect(Effect.mapError(decoded, issuesIn), (defect) => Effect.fail([schemaThrew(defect)]))
  } catch (error) {
    return Either.left([schemaThrew(error)])
  }
}

const schemaThrew = (error: unknown): string =>
  `payload: cannot be decoded (${error instanceof Error ? error.name : "its Schema threw"})`

/** The issues of a payload, one for each path. They show no values. @internal */
export const issuesIn = (issue: ParseResult.ParseIssue): ReadonlyArray<string> => describe(issue, "")

const decodeOrIssues = (task: AnyTask, encoded: string): Either.Either<unknown, ReadonlyArray<string>> => {
  try {
    const result = Schema.decodeUnknownEither(schemaOf(task), { errors: "all" })(JSON.parse(encoded))
    return Either.mapLeft(result, ({ issue }) => issuesIn(issue))
  } catch (error) {
    return Either.left([schemaThrew(error)])
  }
}

const encodedOrIssues = (task: AnyTask, encoded: string): string | ReadonlyArray<string> =>
  Either.match(decodeOrIssues(task, encoded), { onLeft: (issues) => issues, onRight: () => encoded })

/** The issues of a payload, one for each path: `email: expected string`. Empty if the payload is valid. @internal */
export const issuesOf = (task: AnyTask, payload: unknown): ReadonlyArray<string> => {
  try {
    const result = Schema.validateEither(schemaOf(task), { errors: "all" })(payload)
    return Either.isLeft(result) ? issuesIn(result.left.issue) : []
  } catch (error) {
    return [`payload: its Schema threw ${error instanceof Error ? error.name : "something"}`]
  }
}

const describe = (issue: ParseResult.ParseIssue, path: string): ReadonlyArray<string> => {
  const at = path === "" ? "payload" : path
  switch (issue._tag) {
    case "Composite":
      return (Predicate.hasProperty(issue.issues, "_tag") ? [issue.issues] : issue.issues)
        .flatMap((inner) => describe(inner, path))
    case "Pointer":
      return describe(
        issue.issue,
        [issue.path].flat().reduce<string>(
          (path, key) =>
            typeof key === "number" ? `${path}[${key}]` : path === "" ? String(key) : `${path}.${String(key)}`,
          path
        )
      )
    case "Refinement":
    case "Transformation":
      return issue.kind === "Predicate" ? [`${at}: expected ${issue.ast}`] : describe(issue.issue, path)
    case "Missing":
      return [`${at}: is missing`]
    case "Unexpected":
      return [`${at}: is not expected`]
    case "Type":
      return [`${at}: expected ${issue.ast}`]
    case "Forbidden":
      return [`${at}: cannot be checked at once, its Schema is asynchronous`]
  }
}
