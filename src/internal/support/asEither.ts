/**
 * Reads the result of an Effect that has it already.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/**
 * The Either that an Effect is, or `undefined` if it has to be run. A hot loop can so go on without a step of a fiber.
 *
 * @internal
 */
export const asEither = <A, E>(self: Effect.Effect<A, E>): Either.Either<A, E> | undefined =>
  // An Either is an Effect with the same types.
  Either.isEither(self) ? self as unknown as Either.Either<A, E> : undefined
