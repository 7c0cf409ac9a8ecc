/**
 * The one place that looks at Effect's transaction tag. Only its key is used, so that the core needs no SQL package.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type { Position } from "./position.js"
import type { Scope } from "./scope.js"

const key = "@effect/sql/SqlClient/TransactionConnection"

/**
 * The connection and depth that hold in a context, as one value: another transaction or savepoint has another one.
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

/**
 * The frame of a transaction, among the scopes at and around a position.
 *
 * @internal
 */
export const frameOf = (transaction: unknown, position: Position | undefined): Scope | undefined => {
  for (let at = position?.scope; at !== undefined; at = at.outer?.scope) {
    if (at.transaction === transaction) {
      return at
    }
  }
  return undefined
}

/**
 * The innermost savepoint that is open in a frame, by another fiber than one that stands in the frame itself.
 *
 * @internal
 */
export const deepestSavepoint = (frame: Scope | undefined): Scope | undefined => {
  let savepoint = frame?.savepoint
  while (savepoint?.savepoint !== undefined) {
    savepoint = savepoint.savepoint
  }
  return savepoint
}

/**
 * Whether a savepoint, or one around it, was rolled back.
 *
 * @internal
 */
export const isRolledBack = (savepoint: Scope | undefined): boolean => {
  for (let at = savepoint; at?.transaction !== undefined; at = at.outer?.scope) {
    if (at.state === "discarded") {
      return true
    }
  }
  return false
}
