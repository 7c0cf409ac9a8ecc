/**
 * Renews the leases of the requests that run in this process, and stores responses again that could not be stored at first.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import type * as EffectScope from "effect/Scope"
import { tooLarge } from "./replay.js"
import type { Held, IdempotencyStoreOperations, IdempotencyStoreService, Keeper } from "./store.js"

/** Adds the fibers of a store, which end with the Scope. @internal */
export const makeService = (
  operations: Omit<IdempotencyStoreService, "keeper">,
  options: { readonly pruneMillis?: number } = {}
): Effect.Effect<IdempotencyStoreService, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const runFork = Runtime.runFork(yield* Effect.runtime<never>())
    const { prune } = operations
    if (prune !== undefined) {
      yield* Effect.forkScoped(
        pruneAll(prune).pipe(Effect.delay(options.pruneMillis ?? 60_000), Effect.repeat(Schedule.forever))
      )
    }
    // Requests with the same lease share a fiber, which runs while there are any.
    const groups = new Map<number, Set<Held>>()
    const keeper: Keeper = {
      add: (held) => {
        const group = groups.get(held.leaseMillis)
        if (group === undefined) {
          const group = new Set([held])
          groups.set(held.leaseMillis, group)
          const round = renewAll(operations, group, (self) => runFork(self, { scope }))
          runFork(beat(round, group, held.leaseMillis / 3, () => groups.delete(held.leaseMillis)), { scope })
        } else {
          group.add(held)
        }
      },
      remove: (held) => {
        groups.get(held.leaseMillis)?.delete(held)
      }
    }
    return { ...operations, keeper }
  })

/**
 * Each lease is renewed after a third of its time, so one renewal may fail. `end` is called in the step that finds the group empty,
 * so that no request joins a group whose fiber ends.
 */
const beat = (
  round: Effect.Effect<void>,
  group: Set<Held>,
  millis: number,
  end: () => void
): Effect.Effect<void> =>
  Effect.suspend(() =>
    group.size === 0 ? Effect.succeed(end()) : Effect.sleep(millis).pipe(
      Effect.zipRight(round),
      Effect.zipRight(beat(round, group, millis, end))
    )
  )

/** Begins the renewals of a group. A renewal that takes long, for its row is locked, does not hold up those of other keys. */
const renewAll = (
  operations: IdempotencyStoreOperations,
  group: Set<Held>,
  fork: (self: Effect.Effect<void>) => void
): Effect.Effect<void> => {
  const running = new Set<Held>()
  return Effect.sync(() =>
    fork(Effect.forEach(
      [...group].filter((held) => !running.has(held)),
      (held) => {
        running.add(held)
        return Effect.ensuring(renew(operations, group, held), Effect.sync(() => running.delete(held)))
      },
      { concurrency: 16, discard: true }
    ))
  )
}

const renew = (operations: IdempotencyStoreOperations, group: Set<Held>, held: Held): Effect.Effect<void> => {
  const { response } = held
  const call = response === undefined
    ? operations.renew(held)
    : operations.complete({ ...held, response }).pipe(
      // A store may refuse a large body for ever. Without it the key is at least completed.
      Effect.catchAll((error) =>
        response.body.length === 0
          ? Effect.fail(error)
          : operations.complete({ ...held, response: tooLarge(response) })
      )
    )
  return Effect.matchCauseEffect(call, {
    onFailure: (cause) =>
      Effect.logWarning("Airlock could not renew the lease of an idempotency key, and tries again", cause),
    onSuccess: (isOwn) => {
      if (isOwn && response === undefined) {
        return Effect.void
      }
      if (!isOwn && !group.has(held)) {
        // The request has ended meanwhile.
        return Effect.void
      }
      group.delete(held)
      held.isLost = !isOwn
      return isOwn ? Effect.void : Effect.logWarning(
        "The lease of an idempotency key has ended, and another request owns the key: this process was paused, or the store " +
          "did not answer for too long"
      )
    }
  })
}

const pruneAll = (prune: Effect.Effect<number, unknown>): Effect.Effect<void> =>
  prune.pipe(
    Effect.repeat({ while: (deleted) => deleted > 0 }),
    Effect.catchAllCause((cause) => Effect.logWarning("Airlock could not delete expired idempotency keys", cause)),
    Effect.asVoid
  )
