/**
 * The relay: claims rows of the outbox, runs their handlers, and stores the results.
 *
 * ```text
 *   claiming              beginning                 workers                   results
 *   look, claim  ------>  notes in the     ------>  run the        ------->   acknowledge, fail:
 *        ^       rows     session what     runs     handlers,      outcomes   one statement for all
 *        |                begins                    limit their time          that have ended
 *        +------------------------------------------+   free slots
 *
 *   renewing: keeps the session, whose id is the lease of all rows that the relay has claimed
 *   upkeep: deletes old rows that are done, and warns of rows that no relay can run
 * ```
 *
 * Each part is a loop in a fiber of its own. So free slots are filled while other handlers run, and a slow handler delays only
 * itself.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as EffectScope from "effect/Scope"
import { runWithDeadline } from "../../support/deadline.js"
import { Beginning } from "./beginning.js"
import { Claiming } from "./claiming.js"
import { Renewing } from "./renewing.js"
import * as report from "./report.js"
import { Results } from "./results.js"
import type { RelaySettings } from "./settings.js"
import { type RelayParts, RelayState } from "./state.js"
import { upkeep } from "./upkeep.js"
import { Workers } from "./workers.js"

/** The time that the last statements have when the relay shuts down. */
const lastStatements = Duration.seconds(10)

/** The time that the loops have to end. */
const grace = Duration.seconds(1)

/** How long a loop waits that died. */
const restartAfter = Duration.seconds(1)

/**
 * Starts a relay. Fails if its session cannot be registered. When the Scope closes, it begins no further handler, waits for the
 * running ones, stores their results, and unclaims the rows whose handlers had not begun.
 *
 * @internal
 */
export const startRelay = (
  parts: RelayParts,
  settings: RelaySettings
): Effect.Effect<void, SqlError, EffectScope.Scope> =>
  Effect.gen(function*() {
    const state = new RelayState(parts, settings, yield* Effect.clock)
    const results = new Results(state)
    const workers = new Workers(state, results)
    const renewing = new Renewing(state)
    const claiming = new Claiming(state, results)
    const beginning = new Beginning(state, results, workers, renewing)
    const start = Effect.gen(function*() {
      yield* renewing.register
      return {
        intake: yield* inDaemon(
          claiming.run,
          beginning.run,
          ...(parts.outage === undefined ? [] : [Effect.forever(parts.outage.ending(() => {
            state.beginning.wake()
            state.look()
          }))]),
          Effect.forever(Effect.map(parts.notified, () => state.look()))
        ),
        rest: yield* inDaemon(renewing.run, results.run, Effect.forever(workers.sweep), upkeep(state))
      }
    })
    yield* Effect.acquireRelease(start, ({ intake, rest }) =>
      Effect.gen(function*() {
        state.isStopping = true
        yield* within(lastStatements, Fiber.interrupt(intake))
        yield* within(settings.drainTimeout, workers.idle)
        const unfinished = yield* workers.interruptAll
        yield* within(lastStatements, results.drained)
        // A statement that the database does not answer ends at its own time limit.
        yield* within(grace, Fiber.interrupt(rest))
        // If it fails, the rows can be claimed when the lease has ended.
        yield* within(lastStatements, Effect.ignore(state.leave(unfinished)))
      }))
  })

/** Daemons, because an interruption of their parent would interrupt children at once. */
const inDaemon = (...loops: ReadonlyArray<Effect.Effect<never>>): Effect.Effect<Fiber.RuntimeFiber<void>> =>
  Effect.forkDaemon(Effect.interruptible(
    Effect.forEach(loops, (loop) => Effect.forever(Effect.catchAllCause(loop, restart)), {
      concurrency: "unbounded",
      discard: true
    })
  ))

/** A defect may not end a loop in silence. */
const restart = (cause: Cause.Cause<never>): Effect.Effect<void> =>
  Effect.zipRight(report.partDied(cause), Effect.sleep(restartAfter))

/** In a finalizer, which is uninterruptible, `Effect.timeout` alone does not end what it waits for. */
const within = (limit: Duration.Duration, self: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.asVoid(runWithDeadline(Effect.interruptible(self), { what: "The shutdown of the relay", limit }))
