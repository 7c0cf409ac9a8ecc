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
import { InvalidPayloadError } from "../../AirlockError.js"
import type { AnyTask } from "../../Intent.js"
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

/** Decodes a stored payload. The error contains none of its values. @internal */
export const decode = (task: AnyTask, encoded: string): Effect.Effect<unknown, InvalidPayloadError> =>
  Effect.suspend(() =>
    Either.mapLeft(decodeOrIssues(task, encoded), (issues) => new InvalidPayloadError({ task: task.name, issues }))
  )

const decodeOrIssues = (task: AnyTask, encoded: string): Either.Either<unknown, ReadonlyArray<string>> => {
  try {
    const result = Schema.decodeUnknownEither(schemaOf(task), { errors: "all" })(JSON.parse(encoded))
    return Either.mapLeft(result, ({ issue }) => describe(issue, ""))
  } catch (error) {
    return Either.left([`payload: cannot be decoded (${error instanceof Error ? error.name : "its Schema threw"})`])
  }
}

const encodedOrIssues = (task: AnyTask, encoded: string): string | ReadonlyArray<string> =>
  Either.match(decodeOrIssues(task, encoded), { onLeft: (issues) => issues, onRight: () => encoded })

/** The issues of a payload, one for each path: `email: expected string`. Empty if the payload is valid. @internal */
export const issuesOf = (task: AnyTask, payload: unknown): ReadonlyArray<string> => {
  try {
    const result = Schema.validateEither(schemaOf(task), { errors: "all" })(payload)
    return Either.isLeft(result) ? describe(result.left.issue, "") : []
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
