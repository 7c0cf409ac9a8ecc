/**
 * Checking a payload against its Schema, and saying what is wrong without saying what was in it.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { InvalidPayloadError } from "../AirlockError.js"
import type * as Task from "../Task.js"

const checks = new WeakMap<Task.Any, (payload: unknown) => boolean>()
const encoders = new WeakMap<Task.Any, (payload: unknown) => unknown>()

// A task's payload needs no services: `Task.make` accepts no other Schema.
const schemaOf = (task: Task.Any) => task.payloadSchema as Schema.Schema.AnyNoContext

/** @internal */
export const isValid = (task: Task.Any, payload: unknown): boolean => {
  let check = checks.get(task)
  if (check === undefined) {
    check = Schema.is(schemaOf(task))
    checks.set(task, check)
  }
  try {
    return check(payload)
  } catch {
    // A filter of the Schema threw: said as an issue, as a defect of the Effect, not thrown where the Effect is made.
    return false
  }
}

/**
 * A payload that was found valid: encoded, as JSON. It throws where the Schema or JSON cannot.
 *
 * @internal
 */
export const encode = (task: Task.Any, payload: unknown): string => {
  let encoder = encoders.get(task)
  if (encoder === undefined) {
    encoder = Schema.encodeSync(schemaOf(task))
    encoders.set(task, encoder)
  }
  return JSON.stringify(encoder(payload)) ?? "null"
}

/**
 * The size of an encoded payload, in UTF-8.
 *
 * @internal
 */
export const bytesOf = (encoded: string): number => new TextEncoder().encode(encoded).length

/**
 * A payload that was encoded, and kept. Fails without saying what was in it.
 *
 * @internal
 */
export const decode = (task: Task.Any, encoded: string): Effect.Effect<unknown, InvalidPayloadError> =>
  Effect.suspend(() => {
    const refuse = (issues: ReadonlyArray<string>) => Effect.fail(new InvalidPayloadError({ task: task.name, issues }))
    try {
      const result = Schema.decodeUnknownEither(schemaOf(task), { errors: "all" })(JSON.parse(encoded))
      return Either.isLeft(result) ? refuse(describe(result.left.issue, "")) : Effect.succeed(result.right)
    } catch (error) {
      return refuse([`payload: cannot be decoded (${error instanceof Error ? error.name : "its Schema threw"})`])
    }
  })

/**
 * `email: expected string`, one for each place.
 *
 * @internal
 */
export const issuesOf = (task: Task.Any, payload: unknown): ReadonlyArray<string> => {
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
