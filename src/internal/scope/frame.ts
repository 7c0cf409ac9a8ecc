/**
 * A SQL transaction or savepoint, as the core knows it: its scope, and whether an enqueue can wait for its commit.
 *
 * @internal
 */
import { type Current, isInside, type Scope } from "./scope.js"
import type { Savepoint } from "./transactionTag.js"

/** The property of the transaction tag's value that holds its frame. @internal */
export const FrameKey: unique symbol = Symbol.for("effect-airlock/Frame")

/** @internal */
export interface Frame extends Savepoint {
  readonly scope: Scope
  readonly parent: Frame | undefined
  /** Whether its scope is inside the scope of its parent. An enqueue in a frame that is not seen is refused. */
  readonly seen: boolean
  /** The savepoint that is open in it. Only one is open at a time. */
  readonly savepoint: Frame | undefined
}

/** The frame of a transaction, if it is seen and `current` is inside its scope. @internal */
export const frameOf = (transaction: unknown, current: Current | undefined): Frame | undefined => {
  const frame = (transaction as { readonly [FrameKey]?: Frame } | undefined)?.[FrameKey]
  return frame !== undefined && frame.seen && isInside(current?.scope, frame.scope) ? frame : undefined
}

/**
 * The innermost savepoint that is open in a frame. Another fiber may have opened it. If it is rolled back, the database
 * also undoes what this fiber did meanwhile on the same connection.
 *
 * @internal
 */
export const innermostSavepoint = (frame: Frame | undefined): Frame | undefined => {
  let savepoint = frame?.savepoint
  while (savepoint?.savepoint !== undefined) {
    savepoint = savepoint.savepoint
  }
  return savepoint
}
