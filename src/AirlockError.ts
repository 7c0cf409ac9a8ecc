/**
 * What can go wrong, and what to do about it.
 *
 * Wrong use of the library (`NoScopeError` and its like) is a defect: no caller could act on it. What a caller can act
 * on, that some intents did not leave, is the typed {@link FlushError}.
 *
 * No message carries a payload: payloads may hold secrets, and errors end up in logs.
 *
 * @since 0.1.0
 */
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"

const at = (site: string | undefined): string => site === undefined ? "" : ` (${site})`

/** Where `Airlock.enqueue` was called, as a stack frame: `at checkout (src/orders.ts:12:5)`. */
const site = Schema.optionalWith(Schema.String, { exact: true })

/**
 * `Airlock.enqueue` ran where no scope is open. Only reachable through `Airlock.unchecked` or a cast: otherwise the
 * missing scope is a compile error. Without a `task`, it was the service `AirlockScope` that was looked at.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class NoScopeError extends Schema.TaggedError<NoScopeError>("effect-airlock/NoScopeError")("NoScopeError", {
  task: Schema.optionalWith(Schema.String, { exact: true }),
  site
}) {
  override get message(): string {
    return this.task === undefined
      ? "AirlockScope was looked at outside of any Airlock scope. Airlock.current says whether there is one."
      : `"${this.task}" was enqueued outside of any Airlock scope${at(this.site)}. ` +
        "Wrap the program in Airlock.scoped, or serve the route through HttpMiddleware.airlock."
  }
}

/**
 * `Airlock.enqueue` ran in a scope that has settled, or was settling: typically in a daemon fiber that outlived its
 * request. The intent was not accepted.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class ScopeClosedError extends Schema.TaggedError<ScopeClosedError>("effect-airlock/ScopeClosedError")(
  "ScopeClosedError",
  { task: Schema.String, scope: Schema.String, state: Schema.String, site }
) {
  override get message(): string {
    return `"${this.task}" was enqueued in the scope "${this.scope}", which is already ${this.state}${
      at(this.site)
    }. ` +
      "A fiber that outlives its scope needs a scope of its own: wrap what it does in Airlock.scoped({ independent: true })."
  }
}

/**
 * A policy tried to enqueue. Policies decide; they never add work.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class PolicyEnqueueError extends Schema.TaggedError<PolicyEnqueueError>("effect-airlock/PolicyEnqueueError")(
  "PolicyEnqueueError",
  { task: Schema.String, site }
) {
  override get message(): string {
    return `"${this.task}" was enqueued from within a policy${at(this.site)}. ` +
      "A policy only says whether an intent may leave; enqueue from the code that the policy judges."
  }
}

/**
 * A policy in force refuses this intent at the moment it is enqueued.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class PolicyViolation extends Schema.TaggedError<PolicyViolation>("effect-airlock/PolicyViolation")(
  "PolicyViolation",
  { task: Schema.String, policy: Schema.String, reason: Schema.String, site }
) {
  override get message(): string {
    return `"${this.task}" may not be enqueued here${
      at(this.site)
    }: the policy "${this.policy}" refuses it (${this.reason}).`
  }
}

/**
 * A scope holds as many intents as it may.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class BufferFullError extends Schema.TaggedError<BufferFullError>("effect-airlock/BufferFullError")(
  "BufferFullError",
  { task: Schema.String, scope: Schema.String, limit: Schema.Number, site }
) {
  override get message(): string {
    return `"${this.task}" does not fit${at(this.site)}: the scope "${this.scope}" already holds its limit of ` +
      `${this.limit} intents. Raise maxIntents, or split the work into scopes of its own.`
  }
}

/**
 * The payload given to `Airlock.enqueue` is not what the task's Schema describes. The message names paths and what was
 * expected there, never the values.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class InvalidPayloadError extends Schema.TaggedError<InvalidPayloadError>("effect-airlock/InvalidPayloadError")(
  "InvalidPayloadError",
  { task: Schema.String, issues: Schema.Array(Schema.String), site }
) {
  override get message(): string {
    return `"${this.task}" was enqueued with a payload that does not fit its Schema${at(this.site)}: ${
      this.issues.join("; ")
    }.`
  }
}

/**
 * `Airlock.enqueue` ran inside a SQL transaction that Airlock does not know, so it could not tell whether that
 * transaction commits.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class UnseenTransactionError
  extends Schema.TaggedError<UnseenTransactionError>("effect-airlock/UnseenTransactionError")(
    "UnseenTransactionError",
    { task: Schema.String, site }
  )
{
  override get message(): string {
    return `"${this.task}" was enqueued inside a SQL transaction that Airlock does not see${at(this.site)}. ` +
      "Provide SqlTransaction.layer over the SqlClient that opened it, so that the intent can wait for its commit."
  }
}

/**
 * A statement or a savepoint came for a transaction that has ended, from a fiber that outlived it. It was not run.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class TransactionEndedError
  extends Schema.TaggedError<TransactionEndedError>("effect-airlock/TransactionEndedError")(
    "TransactionEndedError",
    {}
  )
{
  override get message(): string {
    return "A statement or savepoint came for a transaction that has ended: a fiber that was forked in the transaction still " +
      "uses its connection, which may be another's by now. Join the fiber before the transaction ends, or give it one of " +
      "its own."
  }
}

/**
 * A savepoint waited too long for another one of the same transaction, which is open in another fiber: most likely that
 * one waits for this fiber.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class SavepointTimeoutError
  extends Schema.TaggedError<SavepointTimeoutError>("effect-airlock/SavepointTimeoutError")(
    "SavepointTimeoutError",
    { millis: Schema.Number }
  )
{
  override get message(): string {
    return `A savepoint waited ${this.millis} ms for another one of the same transaction to end. Savepoints side by side ` +
      "take turns: one that waits for a fiber which itself opens a savepoint, and is not inside the first, waits for ever. " +
      "Fork that fiber inside the savepoint that waits for it, or open its savepoint around both."
  }
}

/**
 * The client of one database was used inside a transaction of another one's. Effect has one tag for the connection of a
 * transaction, so the statement would run on the other database.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class ForeignTransactionError
  extends Schema.TaggedError<ForeignTransactionError>("effect-airlock/ForeignTransactionError")(
    "ForeignTransactionError",
    {}
  )
{
  override get message(): string {
    return "The SqlClient of one database was used inside a transaction of another one's, on whose connection it would " +
      "run: Effect knows one transaction at a time. Use it before or after that transaction, or in an intent's handler."
  }
}

/**
 * What needs a client that `SqlTransaction.layer` decorates was given one that it does not.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class UndecoratedClientError
  extends Schema.TaggedError<UndecoratedClientError>("effect-airlock/UndecoratedClientError")(
    "UndecoratedClientError",
    { what: Schema.String }
  )
{
  override get message(): string {
    return `${this.what} needs a SqlClient whose transactions are scopes. Provide SqlTransaction.layer over the client.`
  }
}

/**
 * A handler enqueues a task whose handler enqueues a task, and so on, deeper than allowed: most likely a loop.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class CascadeTooDeepError extends Schema.TaggedError<CascadeTooDeepError>("effect-airlock/CascadeTooDeepError")(
  "CascadeTooDeepError",
  { task: Schema.String, chain: Schema.Array(Schema.String), limit: Schema.Number, site }
) {
  override get message(): string {
    const [first, ...rest] = this.chain.length > 6 ? ["...", ...this.chain.slice(-5)] : this.chain
    return `"${this.task}" was enqueued by a handler that runs ${this.limit} handlers deep${at(this.site)}: ` +
      `${[first, ...rest, this.task].join(" -> ")}. ` +
      "Let the handler enqueue only where there is more to do, or raise maxCascade."
  }
}

/**
 * A payload is larger than allowed.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class PayloadTooLargeError
  extends Schema.TaggedError<PayloadTooLargeError>("effect-airlock/PayloadTooLargeError")(
    "PayloadTooLargeError",
    { task: Schema.String, bytes: Schema.Number, limit: Schema.Number, site }
  )
{
  override get message(): string {
    return `"${this.task}" was enqueued with a payload of ${this.bytes} bytes${
      at(this.site)
    }, and may have ${this.limit}. ` +
      "Enqueue the key of what is large, or raise maxPayloadBytes."
  }
}

/**
 * A closure was enqueued where the executor keeps intents outside of this process.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class NotSerializableError
  extends Schema.TaggedError<NotSerializableError>("effect-airlock/NotSerializableError")(
    "NotSerializableError",
    { task: Schema.String, executor: Schema.String, site }
  )
{
  override get message(): string {
    return `"${this.task}" is a closure, and the executor "${this.executor}" keeps intents outside of this process${
      at(this.site)
    }. Make it a Task, with a payload and a handler.`
  }
}

/**
 * Two handlers were given for one task name to the same Airlock.
 *
 * @since 0.1.0
 * @category wrong use
 */
export class DuplicateTaskError extends Schema.TaggedError<DuplicateTaskError>("effect-airlock/DuplicateTaskError")(
  "DuplicateTaskError",
  { task: Schema.String }
) {
  override get message(): string {
    return `The task "${this.task}" already has a handler in this Airlock. ` +
      "Task names are global: rename one of the two tasks, or provide one toLayer of it only."
  }
}

/**
 * No handler is registered for the task of an intent.
 *
 * @since 0.1.0
 * @category reasons
 */
export class UnknownTaskError extends Schema.TaggedError<UnknownTaskError>("effect-airlock/UnknownTaskError")(
  "UnknownTaskError",
  { task: Schema.String, known: Schema.Array(Schema.String) }
) {
  override get message(): string {
    const known = this.known.length === 0 ? "none" : this.known.join(", ")
    return `No handler is registered for the task "${this.task}" (registered: ${known}). ` +
      "Provide the Layer that task.toLayer(handler) gives."
  }
}

/**
 * The executor could not dispatch an intent; for a handler in the process, the handler failed.
 *
 * @since 0.1.0
 * @category reasons
 */
export class DispatchError extends Schema.TaggedError<DispatchError>("effect-airlock/DispatchError")("DispatchError", {
  task: Schema.String,
  cause: Schema.Defect
}) {
  override get message(): string {
    return `Dispatching "${this.task}" failed: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/**
 * The executor stopped before it came to this intent.
 *
 * @since 0.1.0
 * @category reasons
 */
export class NotAttemptedError extends Schema.TaggedError<NotAttemptedError>("effect-airlock/NotAttemptedError")(
  "NotAttemptedError",
  { task: Schema.String }
) {
  override get message(): string {
    return `"${this.task}" was not attempted: the executor had stopped at an earlier failure.`
  }
}

/**
 * Something that settling waits for took longer than it may.
 *
 * @since 0.1.0
 * @category reasons
 */
export class SettleTimeoutError extends Schema.TaggedError<SettleTimeoutError>("effect-airlock/SettleTimeoutError")(
  "SettleTimeoutError",
  { what: Schema.String, millis: Schema.Number }
) {
  override get message(): string {
    return `${this.what} did not answer within ${this.millis} ms.`
  }
}

/**
 * A policy, or the approval of a plan, failed while it decided.
 *
 * @since 0.1.0
 * @category reasons
 */
export class PolicyFailedError extends Schema.TaggedError<PolicyFailedError>("effect-airlock/PolicyFailedError")(
  "PolicyFailedError",
  { what: Schema.String, cause: Schema.Defect }
) {
  override get message(): string {
    return `${this.what} failed while it decided: ${
      this.cause instanceof Error ? this.cause.message : String(this.cause)
    }`
  }
}

/**
 * Why one intent did not leave.
 *
 * @since 0.1.0
 * @category reasons
 */
export const FlushReason = Schema.Union(
  UnknownTaskError,
  DispatchError,
  NotAttemptedError,
  SettleTimeoutError,
  PolicyFailedError,
  ScopeClosedError,
  BufferFullError
)

/**
 * @since 0.1.0
 * @category reasons
 */
export type FlushReason = typeof FlushReason.Type

/**
 * An intent that should have left and did not.
 *
 * @since 0.1.0
 * @category failures
 */
export interface FlushFailure {
  readonly intentId: string
  readonly task: string
  readonly reason: FlushReason
}

/**
 * A scope succeeded, but some of its intents could not leave. It names every one of them, and carries the exit of the
 * body, whose work is done all the same.
 *
 * @since 0.1.0
 * @category failures
 */
export class FlushError extends Schema.TaggedError<FlushError>("effect-airlock/FlushError")("FlushError", {
  scope: Schema.String,
  failures: Schema.Array(Schema.Struct({ intentId: Schema.String, task: Schema.String, reason: FlushReason })),
  exit: Schema.declare(Exit.isExit)
}) {
  override get message(): string {
    const failures = this.failures.map((failure) => `  ${failure.intentId} ${failure.task}: ${failure.reason.message}`)
    return `${failures.length} intent(s) of the scope "${this.scope}" did not leave:\n${failures.join("\n")}`
  }
}

/**
 * Nobody knows whether a transaction was committed: the connection broke between its COMMIT and the answer. Nothing that it
 * enqueued leaves. To run it again may do its work twice; look for its rows first.
 *
 * @since 0.1.0
 * @category failures
 */
export class CommitUnknownError
  extends Schema.TaggedError<CommitUnknownError>("effect-airlock/CommitUnknownError")("CommitUnknownError", {
    /** What the driver said, a `SqlError`. */
    cause: Schema.Defect
  })
{
  override get message(): string {
    return "A transaction was sent to be committed, and its connection broke before the answer: it may be committed or not. " +
      "Its intents were discarded. Look for its rows before it is run again."
  }
}
