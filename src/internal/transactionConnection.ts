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
 * Under which a frame stands on the value that Effect's tag has inside it: the connection and the depth.
 *
 * @internal
 */
export const FrameKey: unique symbol = Symbol.for("effect-airlock/Frame")

/**
 * A transaction or a savepoint, as the core knows it.
 *
 * @internal
 */
export interface Frame {
  readonly scope: Scope
  /** For a savepoint: what it is a savepoint of. */
  readonly parent: Frame | undefined
  /** Whether what is enqueued in it waits for its commit. A savepoint is not seen where its transaction is not. */
  readonly seen: boolean
  /** The savepoint that is open in it now: they take turns. */
  readonly savepoint: Frame | undefined
  readonly rolledBack: boolean
}

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
 * The frame of a transaction, if a position is inside it.
 *
 * @internal
 */
export const frameOf = (transaction: unknown, position: Position | undefined): Frame | undefined => {
  const frame = (transaction as { readonly [FrameKey]?: Frame } | undefined)?.[FrameKey]
  return frame !== undefined && frame.seen && isAround(frame.scope, position) ? frame : undefined
}

/** @internal */
export const isAround = (scope: Scope, position: Position | undefined): boolean => {
  for (let at = position?.scope; at !== undefined; at = at.outer?.scope) {
    if (at === scope) {
      return true
    }
  }
  return false
}

/**
 * The innermost savepoint that is open in a frame, by another fiber than one that stands in the frame itself.
 *
 * @internal
 */
export const deepestSavepoint = (frame: Frame | undefined): Frame | undefined => {
  let savepoint = frame?.savepoint
  while (savepoint?.savepoint !== undefined) {
    savepoint = savepoint.savepoint
  }
  return savepoint
}

/**
 * Whether a frame, or one around it, was rolled back.
 *
 * @internal
 */
export const isRolledBack = (frame: Frame | undefined): boolean => {
  for (let at = frame; at !== undefined; at = at.parent) {
    if (at.rolledBack) {
      return true
    }
  }
  return false
}
