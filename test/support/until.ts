import { Effect } from "effect"

/** Waits, without a clock, until something holds: asks again at each turn of the event loop. */
export const until = <E, R>(holds: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(holds, (yes) =>
    yes
      ? Effect.void
      : Effect.zipRight(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), until(holds)))
