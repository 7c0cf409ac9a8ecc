/**
 * The rows that an outbox writes for the intents of a transaction: inserted last before its COMMIT, then released,
 * discarded or forgotten when its scope and the outer scopes settle.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Transactional } from "../contract/executor.js"
import { runWithDeadline } from "../support/deadline.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { groupBy } from "../support/groupBy.js"
import { outsideScopes } from "./currentScope.js"
import { discardByFate } from "./disposition.js"
import { fatesSeenFrom } from "./fork.js"
import { type IntentRecord, isInserted } from "./intentRecord.js"
import { evaluate } from "./policies.js"
import { findScope, type Scope } from "./scope.js"

/**
 * Inserts the rows of a transaction's scope. The policies of each intent are evaluated here, where a row can still be left
 * out: after the COMMIT only a discard can remove it. A failure rolls the transaction back.
 *
 * @internal
 */
export const insertRows = (scope: Scope, database: unknown, fiber: AnyFiber): Effect.Effect<void, unknown> => {
  const fateOf = fatesSeenFrom(fiber)
  let foreign: IntentRecord | undefined
  const intents = scope.planning
    ? []
    : scope.buffer.filter((intent) => {
      const outbox = outboxOf(scope, intent)
      if (outbox !== undefined && outbox.database !== database) {
        foreign ??= intent
      }
      return outbox?.database === database && discardByFate(intent, fateOf(intent.fork)) === undefined
    })
  const inserted = intents.length === 0 ? Effect.void : insertInto(scope, intents)
  return foreign === undefined
    ? inserted
    : Effect.zipRight(warnOfForeign(outboxOf(scope, foreign)!, database, foreign), inserted)
}

const insertInto = (scope: Scope, intents: ReadonlyArray<IntentRecord>): Effect.Effect<void, unknown> => {
  const options = {
    held: scope.outer !== undefined || scope.options.approve !== undefined,
    undecided: findScope(scope, ({ options }) => options.approve !== undefined) !== undefined
  }
  return Effect.flatMap(
    // If policies cannot decide, the transaction must not commit.
    Effect.orDie(evaluate(scope, intents)),
    (dropped) => {
      for (const [{ durable }, by] of dropped) {
        durable!.dropped = by
      }
      const allowed = intents.filter((intent) => !dropped.has(intent))
      return forEachOutbox(
        groupBy(allowed, (intent) => outboxOf(scope, intent)!),
        (outbox, intents) =>
          Effect.map(outbox.insert(intents, options), () => {
            for (const { durable } of intents) {
              durable!.outbox = outbox
            }
          })
      )
    }
  )
}

/** The databases whose transactions an outbox was found not to share, so that each is told of once. */
const told = new WeakMap<Transactional, WeakSet<object>>()

/**
 * Warns of the first intent in a transaction of a database whose outbox has another client. Two clients of one database cannot
 * be told from clients of two.
 */
const warnOfForeign = (outbox: Transactional, database: unknown, { task }: IntentRecord): Effect.Effect<void> => {
  const databases = told.get(outbox) ?? new WeakSet<object>()
  told.set(outbox, databases)
  // `reserve` is an Effect, so it is an object.
  if (databases.has(database as object)) {
    return Effect.void
  }
  databases.add(database as object)
  return Effect.logWarning(
    `"${task.name}" was enqueued in a SQL transaction of one SqlClient, and its outbox has another SqlClient. So it is ` +
      "stored after the COMMIT, and is lost if this process dies in between. If both are of the same database, give " +
      "Outbox.live() the client that SqlTransaction.layer decorates."
  )
}

const outboxOf = ({ executor }: Scope, intent: IntentRecord): Transactional | undefined =>
  intent.durable === undefined ? undefined : executor.transactional?.(intent)

/** The transaction was rolled back, or its outcome is unknown: this process stops renewing its rows. @internal */
export const forgetRows = (scope: Scope): Effect.Effect<void> => {
  const rows = inserted(scope.buffer)
  for (const { durable } of [...rows.values()].flat()) {
    durable!.outbox = undefined
  }
  return forEachOutbox(rows, (outbox, intents) => outbox.forget(intents))
}

/** Deletes the rows of intents that the scope or an outer scope refused. @internal */
export const discardRows = (scope: Scope, intents: ReadonlyArray<IntentRecord>): Effect.Effect<void> =>
  forEachOutbox(
    inserted(intents),
    (outbox, intents) => runOutbox(scope, "discard", Effect.suspend(() => outbox.discard(intents)))
  )

/** Makes the rows of intents ready that leave. Waits for that only if `awaited`. @internal */
export const releaseRows = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>,
  options: { readonly awaited: boolean }
): Effect.Effect<void> =>
  forEachOutbox(
    inserted(intents),
    (outbox, intents) =>
      flatMapExit(Effect.sync(() => outbox.release(intents, options)), (released) => {
        const rest = Exit.isSuccess(released) ? released.value : released
        return rest === undefined ? Effect.void : runOutbox(scope, "release", rest)
      })
  )

/** In a fiber of its own: the pending interruption of this one is often the reason for a discard. */
const runOutbox = (scope: Scope, what: string, self: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(
    runWithDeadline(self, {
      what: `The ${what} of rows`,
      limit: scope.limits.dispatchTimeout,
      update: outsideScopes
    }),
    ({ exit, timeout }) =>
      exit !== undefined && Exit.isSuccess(exit)
        ? Effect.void
        : Effect.logError(`The outbox could not ${what} rows`, timeout ?? Cause.squash(exit!.cause))
  )

const inserted = (intents: ReadonlyArray<IntentRecord>): ReadonlyMap<Transactional, ReadonlyArray<IntentRecord>> =>
  groupBy(intents.filter(isInserted), ({ durable }) => durable!.outbox!)

/** Calls a function for each outbox with its intents, one after the other. */
const forEachOutbox = <E>(
  outboxes: ReadonlyMap<Transactional, ReadonlyArray<IntentRecord>>,
  f: (outbox: Transactional, intents: ReadonlyArray<IntentRecord>) => Effect.Effect<void, E>
): Effect.Effect<void, E> => {
  const [first, ...others] = outboxes
  // Mostly there is one, for which `Effect.forEach` would cost more than the call.
  return first === undefined
    ? Effect.void
    : others.reduce((before, entry) => Effect.flatMap(before, () => f(...entry)), f(...first))
}
