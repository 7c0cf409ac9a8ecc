/**
 * The executor that stores intents in the user's database: in the transaction in which they were enqueued, or else in a
 * transaction of its own when their scope settles.
 *
 * A row is held while an outer scope can still discard it, ready when all outer scopes have succeeded, and deleted if one of
 * them discards it.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as EffectScope from "effect/Scope"
import { DispatchError, type PayloadCodecError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { Executor, Outcome, Transactional } from "../contract/executor.js"
import { withoutTransaction } from "../scope/transactionTag.js"
import { Holdings, type HoldingsStore } from "./holdings.js"
import type { InsertOptions } from "./store/insert.js"
import { ownConnection } from "./store/ownConnection.js"

/** @internal */
export interface OutboxSettings {
  /** What the rows are in, for errors: `The outbox "airlock_outbox"`. */
  readonly title: string
  readonly insert: (
    intents: ReadonlyArray<Intent>,
    options: InsertOptions
  ) => Effect.Effect<void, SqlError | PayloadCodecError>
  readonly store: HoldingsStore
  readonly client: SqlClient
  /** The time after which a held row expires that its process no longer renews. */
  readonly heldTimeout: Duration.Duration
  /** Whether an expired held row is released or discarded. */
  readonly onExpiry: "release" | "discard"
  /** Notifies relays that rows are ready. */
  readonly notify: () => void
}

/** The parts of an executor that are not the same for all outboxes. @internal */
export interface OutboxExecutor extends Pick<Executor, "dispatch" | "isDurable"> {
  /** There is one for all intents. */
  readonly transactional: () => Transactional
}

/** @internal */
export const makeExecutor = (
  { client, heldTimeout, insert, notify, onExpiry, store, title }: OutboxSettings
): Effect.Effect<OutboxExecutor, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const heldMillis = Duration.toMillis(heldTimeout)
    const own = yield* ownConnection(client)
    const holdings = new Holdings({
      release: (ids) => own.run(store.release(ids)),
      discard: (ids) => own.run(store.discard(ids)),
      renew: (ids, heldMillis) => own.run(store.renew(ids, heldMillis))
    }, { heldMillis, notify })

    const insertRows = (intents: ReadonlyArray<Intent>, options: InsertOptions) =>
      Effect.mapError(
        Effect.suspend(() => insert(intents, options)),
        (error) =>
          new SqlError({
            // The cause stays that of the driver, by whose code an application decides about a retry.
            cause: error._tag === "SqlError" ? error.cause : error,
            message: `${title} could not insert ${intents.length} intent(s)`
          })
      )
    const insertReady = (intents: ReadonlyArray<Intent>) => insertRows(intents, { state: "ready" })

    const transactional: Transactional = {
      database: client.reserve,
      insert: (intents, { held, undecided }) => {
        const expiry = undecided ? "discard" : onExpiry
        return held
          ? Effect.map(
            insertRows(intents, { state: "held", heldMillis, onExpiry: expiry }),
            () => holdings.hold(intents, expiry)
          )
          : insertReady(intents)
      },
      release: (intents, { awaited }) => {
        // Rows that are not held were inserted as ready.
        const held = intents.filter((intent) => holdings.has(intent))
        if (held.length === 0) {
          notify()
          return undefined
        }
        const isAwaited = awaited || held.some(isOrdered)
        const released = holdings.release(held, { isAwaited })
        return isAwaited ? released : undefined
      },
      discard: (intents) => inNoTransaction(holdings.discard(intents)),
      forget: (intents) => Effect.sync(() => holdings.forget(intents.map(({ id }) => id)))
    }

    const dispatch: Executor["dispatch"] = (intents) =>
      Effect.suspend(() => {
        const storable = intents.filter((intent) => !isClosure(intent))
        const inserted = storable.length === 0 ? Effect.succeed(Exit.void) : Effect.exit(alone(insertReady(storable)))
        return Effect.map(inserted, (exit) => {
          notify()
          return intents.map((intent): Outcome =>
            isClosure(intent)
              ? failure(intent, new Error(`${title} cannot store a closure`))
              : Exit.isSuccess(exit)
              ? Exit.void
              : failure(intent, Cause.squash(exit.cause))
          )
        })
      })

    yield* Effect.forkScoped(holdings.releasing)
    yield* Effect.forkScoped(Effect.forever(Effect.delay(holdings.maintain, Duration.times(heldTimeout, 1 / 3))))
    yield* Effect.addFinalizer(() => holdings.close)

    return { isDurable: () => true, transactional: () => transactional, dispatch }
  })

/** A later transaction with the same key must find the row ready, or it would overtake it. */
const isOrdered = ({ options }: Intent): boolean => options.orderingKey !== undefined

const failure = ({ task }: Intent, cause: unknown): Outcome => Exit.fail(new DispatchError({ task: task.name, cause }))

/** An enqueue refuses closures, but only if it can see that the executor is durable: an executor around this one can hide it. */
const isClosure = (intent: Intent & { readonly closure?: unknown }): boolean => intent.closure !== undefined

/** Leaves the transaction that may be open where a scope settles, so that its rollback does not undo `self`. */
const inNoTransaction = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.mapInputContext(self, (context: Context.Context<never>) => withoutTransaction(context))

/** Also interruptible, so that the time limit of a dispatch can end it. */
const alone = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> => Effect.interruptible(inNoTransaction(self))

/** @internal */
export const heldTimeoutOf = (input: Duration.DurationInput): Duration.Duration => {
  const time = Duration.decode(input)
  const millis = Duration.toMillis(time)
  if (!(millis > 0 && Number.isFinite(millis))) {
    throw new RangeError(
      `The outbox needs a positive and finite time as its option \`heldTimeout\`, and got ${Duration.format(time)}`
    )
  }
  return time
}
