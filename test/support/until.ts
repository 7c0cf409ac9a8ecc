import { Effect } from "effect"

/** Waits until a condition holds. It checks at each turn of the event loop, and uses no clock. */
export const until = <E, R>(holds: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(holds, (yes) =>
    yes
      ? Effect.void
      : Effect.zipRight(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), until(holds)))
