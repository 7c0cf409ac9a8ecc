/**
 * The executor that keeps intents in the user's database: in the transaction that they were enqueued in, or else in one of
 * its own when their scope settles.
 *
 * Two may have a say over a row: the transaction that writes it, and the scopes around, which may still refuse it. So it is
 * `held` while such a scope is open, and this process renews it; `ready` when they have settled well; gone when they have not.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as EffectScope from "effect/Scope"
import { DispatchError } from "../../AirlockError.js"
import type { Executor, Outcome, Transactional } from "../../Executor.js"
import type { Intent } from "../../Intent.js"
import { withoutTransaction } from "../transactionConnection.js"
import { rowOf } from "./intentRow.js"
import type { Store } from "./store.js"

/** @internal */
export interface Holding {
  readonly heldTimeout: Duration.Duration
  readonly onExpiry: "release" | "discard"
}

type Owed = "release" | "discard"

/** @internal */
export const makeExecutor = (
  store: Store,
  client: SqlClient,
  { heldTimeout, onExpiry }: Holding,
  wake: Effect.Effect<void>
): Effect.Effect<Pick<Executor, "dispatch" | "isDurable" | "transactional">, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const heldMillis = Duration.toMillis(heldTimeout)
    /** What was written in a transaction, and waits for the say of the scopes around. */
    const parked = new Set<string>()
    /** What could not be done, and is tried again. Until then it is renewed, so that nothing comes out that must not. */
    const owed = new Map<string, Owed>()

    const forget = (ids: Iterable<string>): void => {
      for (const id of ids) {
        parked.delete(id)
      }
    }

    /** Once the scopes around have said what becomes of rows. */
    const settle = (ids: ReadonlyArray<string>, what: Owed): Effect.Effect<void> =>
      ids.length === 0 ? Effect.void : Effect.map(Effect.exit(alone(store[what](ids))), (exit) => {
        forget(ids)
        if (Exit.isFailure(exit)) {
          for (const id of ids) {
            owed.set(id, what)
          }
        }
      })

    const transactional: Transactional = {
      database: client.reserve,
      park: (intents, { held, undecided }) =>
        Effect.suspend(() =>
          store.insert(
            intents.map(rowOf),
            held ? { state: "held", heldMillis, onExpiry: undecided ? "discard" : onExpiry } : { state: "ready" }
          )
        ).pipe(Effect.tap(() => {
          for (const { id } of held ? intents : []) {
            parked.add(id)
          }
        })),
      committed: () => wake,
      detach: (intents) => Effect.sync(() => forget(intents.map(({ id }) => id))),
      discard: (intents) => settle(intents.map(({ id }) => id), "discard")
    }

    const dispatch: Executor["dispatch"] = (intents) =>
      Effect.suspend(() => {
        const fresh = intents.filter((intent) => !parked.has(intent.id) && !isClosure(intent))
        const held = intents.flatMap(({ id }) => parked.has(id) ? [id] : [])
        const left = fresh.length === 0 ? Effect.as(settle(held, "release"), Exit.void) : insert(fresh, held)
        return Effect.flatMap(left, (exit) => {
          const failed = new Set<Intent>(Exit.isSuccess(exit) ? [] : fresh)
          const outcomes = intents.map((intent): Outcome =>
            failed.has(intent)
              ? Exit.fail(new DispatchError({ task: intent.task.name, cause: causeOf(exit) }))
              : isClosure(intent)
              ? Exit.fail(new DispatchError({ task: intent.task.name, cause: new Error("a closure cannot be kept") }))
              : Exit.void
          )
          return Effect.as(wake, outcomes)
        })
      })

    /** What is new and what was held become ready in one transaction. What was held is there even if that fails. */
    const insert = (
      fresh: ReadonlyArray<Intent>,
      held: ReadonlyArray<string>
    ): Effect.Effect<Exit.Exit<void, unknown>> => {
      const inserted = Effect.suspend(() => store.insert(fresh.map(rowOf), { state: "ready" }))
      return held.length === 0
        ? Effect.exit(alone(inserted))
        : Effect.flatMap(
          Effect.exit(alone(client.withTransaction(Effect.zipRight(inserted, store.release(held))))),
          (exit): Effect.Effect<Exit.Exit<void, unknown>> => {
            if (Exit.isSuccess(exit)) {
              forget(held)
              return Effect.succeed(exit)
            }
            return Effect.as(settle(held, "release"), exit)
          }
        )
    }

    const owing = (what: Owed) => [...owed].flatMap(([id, owes]) => owes === what ? [id] : [])

    const pay = (what: Owed) =>
      Effect.suspend(() => {
        const ids = owing(what)
        return ids.length === 0 ? Effect.void : Effect.map(store[what](ids), () => {
          for (const id of ids) {
            owed.delete(id)
          }
        })
      })

    const maintain = Effect.suspend(() => store.renew([...parked, ...owed.keys()], heldMillis)).pipe(
      Effect.zipRight(pay("discard")),
      Effect.zipRight(pay("release")),
      Effect.catchAllCause((cause) =>
        Effect.logWarning("The outbox could not renew what open scopes hold; it tries again", cause)
      )
    )
    yield* Effect.forkScoped(Effect.forever(Effect.delay(maintain, Duration.times(heldTimeout, 1 / 3))))
    // What is still owed at the end gets one more chance; what scopes hold that are still open comes out by itself.
    yield* Effect.addFinalizer(() => owed.size === 0 ? Effect.void : maintain)

    return { isDurable: () => true, transactional: () => transactional, dispatch }
  })

/** Refused at the enqueue, unless what stands between hides that this executor keeps intents. */
const isClosure = (intent: Intent & { readonly closure?: unknown }): boolean => intent.closure !== undefined

const causeOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)

/** Not in the transaction that may be open where a scope settles: what that one does is not to undo it. */
const alone = <A>(self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.interruptible(Effect.mapInputContext(self, (context: Context.Context<never>) => withoutTransaction(context)))
