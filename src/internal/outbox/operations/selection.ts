/**
 * Which rows an operation changes. A selection of all rows has to say so: an object that is empty by mistake selects nothing.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { OutboxFilter } from "./filter.js"

type AtLeastOne<A> = { readonly [Name in keyof A]-?: { readonly [_ in Name]-?: A[Name] } & A }[keyof A]

/**
 * The rows that an operation changes: those that a filter finds, with at least one condition, or all rows. An operation changes
 * only rows in the states that it is for, whatever the selection says.
 *
 * @since 0.1.0
 * @category models
 */
export type OutboxSelection = { readonly all: true } | AtLeastOne<OutboxFilter> & { readonly all?: never }

/**
 * A selection without a condition. Nothing was changed. Give it a condition, or say `{ all: true }`.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutboxSelectionError
  extends Schema.TaggedError<OutboxSelectionError>("effect-airlock/OutboxSelectionError")("OutboxSelectionError", {
    /** The name of the operation. */
    operation: Schema.String
  })
{
  override get message(): string {
    return `Outbox.${this.operation} got a selection without a condition, and changed nothing. ` +
      "Give it a condition, or { all: true } if you mean all rows."
  }
}

const hasCondition = (value: unknown): boolean =>
  value !== undefined &&
  (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date ||
    Object.values(value).some(hasCondition))

/** The filter of a selection. @internal */
export const filterOf = (
  operation: string,
  selection: OutboxSelection
): Effect.Effect<OutboxFilter, OutboxSelectionError> => {
  // From code without types, the selection may be anything.
  const { all, ...filter }: { readonly all?: true } & OutboxFilter = selection
  return all === true || Object.values(filter).some(hasCondition)
    ? Effect.succeed(filter)
    : Effect.fail(new OutboxSelectionError({ operation }))
}
