import { Cause, Effect, Exit, Option } from "effect"

/** The defect that a program dies with, or `undefined`. */
export const defectOf = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
  Effect.map(
    Effect.exit(self),
    (exit) => Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
  )
