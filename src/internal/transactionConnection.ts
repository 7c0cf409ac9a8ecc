/**
 * The one place that looks at Effect's transaction tag. Only its key is used, so that the core needs no SQL package.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type { Position } from "./position.js"

const key = "@effect/sql/SqlClient/TransactionConnection"

/**
 * The connection and depth that hold in a context, as one value: another transaction or savepoint has another one.
 *
 * @internal
 */
export const transactionIn = (context: Context.Context<never>): unknown => context.unsafeMap.get(key)

/**
 * Whether the transaction of a context is that of a scope at, or around, a position.
 *
 * @internal
 */
export const isSeen = (transaction: unknown, position: Position): boolean => {
  for (let at: Position | undefined = position; at?.scope !== undefined; at = at.scope.outer) {
    if (at.scope.transaction === transaction) {
      return true
    }
  }
  return false
}
