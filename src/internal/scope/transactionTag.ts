/**
 * Effect's tag for the connection of a transaction. The core reads it only here, and only by its key, so that the core
 * needs no SQL package.
 *
 * @internal
 */
import * as Context from "effect/Context"

const key = "@effect/sql/SqlClient/TransactionConnection"

/** A transaction or savepoint that can be rolled back. @internal */
export interface Savepoint {
  /** The transaction or savepoint around it. */
  readonly parent: Savepoint | undefined
  readonly rolledBack: boolean
}

/**
 * The value of the tag: the connection and the depth. Each transaction and each savepoint has a value of its own.
 *
 * @internal
 */
export const transactionIn = (context: Context.Context<never>): unknown => context.unsafeMap.get(key)

/** @internal */
export const withoutTransaction = (context: Context.Context<never>): Context.Context<never> => {
  const services = new Map(context.unsafeMap)
  services.delete(key)
  return Context.unsafeMake(services)
}

/** Whether a savepoint, or one around it, was rolled back. @internal */
export const isRolledBack = (savepoint: Savepoint | undefined): boolean => {
  for (let at = savepoint; at !== undefined; at = at.parent) {
    if (at.rolledBack) {
      return true
    }
  }
  return false
}
