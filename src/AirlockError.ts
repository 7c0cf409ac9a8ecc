/**
 * The errors of Airlock. Each says what happened and what to do about it.
 *
 * Wrong use of the library, such as an enqueue without a scope, is a defect, because no caller could act on it. Errors that
 * a caller can act on are typed, above all the {@link FlushError}, which names the intents that did not leave.
 *
 * No message contains a payload, because payloads may hold secrets and errors are logged.
 *
 * @since 0.1.0
 */
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { errorToJson, indent, printDetails, printHeadline, valueToJson } from "./internal/support/printError.js"

const at = (site: string | undefined): string => site === undefined ? "" : ` (${site})`

/** The call of `Airlock.enqueue` as a stack frame: `at checkout (src/orders.ts:12:5)`. */
const site = Schema.optionalWith(Schema.String, { exact: true })

/**
 * `Airlock.enqueue` ran without a scope, or the service `AirlockScope` was used without one. Then `task` is absent.
 *
 * Without `Airlock.unchecked` or a cast, a missing scope is a compile error.
 *
 * @since 0.1.0
 * @category errors
 */
export class NoScopeError extends Schema.TaggedError<NoScopeError>("effect-airlock/NoScopeError")("NoScopeError", {
  task: Schema.optionalWith(Schema.String, { exact: true }),
  site
}) {
  override get message(): string {
    const used = this.task === undefined
      ? "The service AirlockScope was used without an open scope. Airlock.current tells whether there is one."
      : `"${this.task}" was enqueued without an Airlock scope${at(this.site)}.`
    return `${used} Wrap the program in Airlock.scoped, or serve the route with HttpMiddleware.airlock.`
  }
}

/**
 * `Airlock.enqueue` ran in a scope that was settling or had settled, typically in a daemon fiber that outlived the scope.
 * Or a scope succeeded after its outer scope had settled. The intent was refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class ScopeClosedError extends Schema.TaggedError<ScopeClosedError>("effect-airlock/ScopeClosedError")(
  "ScopeClosedError",
  { task: Schema.String, scope: Schema.String, state: Schema.String, site }
) {
  override get message(): string {
    return `"${this.task}" came too late${at(this.site)}: the scope "${this.scope}" is already ${this.state}. ` +
      "A fiber that outlives its scope needs a scope of its own. " +
      "Wrap the work of that fiber in Airlock.scoped({ independent: true })."
  }
}

/**
 * `Airlock.enqueue` ran inside a policy or an approval. These decide about intents and cannot enqueue.
 *
 * @since 0.1.0
 * @category errors
 */
export class PolicyEnqueueError extends Schema.TaggedError<PolicyEnqueueError>("effect-airlock/PolicyEnqueueError")(
  "PolicyEnqueueError",
  { task: Schema.String, site }
) {
  override get message(): string {
    return `"${this.task}" was enqueued inside a policy or an approval${at(this.site)}. ` +
      "These decide about intents and cannot enqueue. Enqueue in the body of the scope."
  }
}

/**
 * A policy in force refused an intent when it was enqueued.
 *
 * @since 0.1.0
 * @category errors
 */
export class PolicyViolation extends Schema.TaggedError<PolicyViolation>("effect-airlock/PolicyViolation")(
  "PolicyViolation",
  { task: Schema.String, policy: Schema.String, reason: Schema.String, site }
) {
  override get message(): string {
    return `The policy "${this.policy}" refused "${this.task}"${at(this.site)}: ${this.reason}. ` +
      "Remove the enqueue, or run this code without the policy."
  }
}

/**
 * A scope would hold more intents than its `maxIntents`, by an enqueue or by the intents of a scope inside it.
 *
 * @since 0.1.0
 * @category errors
 */
export class BufferFullError extends Schema.TaggedError<BufferFullError>("effect-airlock/BufferFullError")(
  "BufferFullError",
  { task: Schema.String, scope: Schema.String, limit: Schema.Number, site }
) {
  override get message(): string {
    return `"${this.task}" does not fit into the scope "${this.scope}"${at(this.site)}, which holds at most ` +
      `${this.limit} intents. Raise maxIntents, or split the work into several independent scopes.`
  }
}

/**
 * The payload of an intent does not match the Schema of its task, cannot be encoded, or would not survive JSON on its way
 * through a durable executor, or the options of the enqueue are not valid. The message names each place and what was expected there. It shows no values.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidPayloadError extends Schema.TaggedError<InvalidPayloadError>("effect-airlock/InvalidPayloadError")(
  "InvalidPayloadError",
  { task: Schema.String, issues: Schema.Array(Schema.String), site }
) {
  override get message(): string {
    return `The payload or the options of "${this.task}" are not valid${at(this.site)}: ${this.issues.join("; ")}. ` +
      "Correct the call of Airlock.enqueue, or the payload Schema of the task."
  }
}

/**
 * `Airlock.enqueue` ran inside a SQL transaction that its scope does not know: the transaction of a client that
 * `SqlTransaction.layer` does not decorate, or a transaction around an independent scope. The intent was refused, because
 * it would leave before the COMMIT.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnseenTransactionError
  extends Schema.TaggedError<UnseenTransactionError>("effect-airlock/UnseenTransactionError")(
    "UnseenTransactionError",
    { task: Schema.String, site }
  )
{
  override get message(): string {
    return `"${this.task}" was enqueued inside a SQL transaction that its scope does not know${at(this.site)}. ` +
      "The intent would leave before the COMMIT. Provide SqlTransaction.layer over the SqlClient that opened the " +
      "transaction, and open no independent scope inside a transaction."
  }
}

/**
 * A fiber ran a statement or a savepoint in a transaction that had ended. The statement was refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionEndedError
  extends Schema.TaggedError<TransactionEndedError>("effect-airlock/TransactionEndedError")(
    "TransactionEndedError",
    {}
  )
{
  override get message(): string {
    return "A fiber ran a statement or a savepoint in a SQL transaction that has ended. It was refused, because another " +
      "transaction may use the connection now. Join the fiber before the transaction ends, or give the fiber a " +
      "transaction of its own."
  }
}

/**
 * A savepoint waited too long for another savepoint of the same transaction, which is open in another fiber. Most likely
 * the other savepoint waits for this fiber.
 *
 * @since 0.1.0
 * @category errors
 */
export class SavepointTimeoutError
  extends Schema.TaggedError<SavepointTimeoutError>("effect-airlock/SavepointTimeoutError")(
    "SavepointTimeoutError",
    { millis: Schema.Number }
  )
{
  override get message(): string {
    return `A savepoint waited ${this.millis} ms for another savepoint of the same transaction to end. The savepoints of a ` +
      "transaction run one after the other. Most likely the open savepoint waits for the fiber of this one. Fork that " +
      "fiber inside the open savepoint, or open all savepoints in the fiber of the transaction."
  }
}

/**
 * The client of one database was used inside a transaction of another database. Effect has one tag for the connection of a
 * transaction, so the statement would run on the other database. It was refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class ForeignTransactionError
  extends Schema.TaggedError<ForeignTransactionError>("effect-airlock/ForeignTransactionError")(
    "ForeignTransactionError",
    {}
  )
{
  override get message(): string {
    return "The SqlClient of one database was used inside a transaction of another database. Effect knows one transaction " +
      "at a time, so the statement would run on the wrong database. Use the client before or after the transaction, or in " +
      "the handler of a task."
  }
}

/**
 * A function that needs a client which `SqlTransaction.layer` decorates was used with another client.
 *
 * @since 0.1.0
 * @category errors
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
 * Handlers enqueued tasks whose handlers enqueued tasks, and so on, deeper than `maxCascade`. Most likely this is a loop.
 *
 * @since 0.1.0
 * @category errors
 */
export class CascadeTooDeepError extends Schema.TaggedError<CascadeTooDeepError>("effect-airlock/CascadeTooDeepError")(
  "CascadeTooDeepError",
  { task: Schema.String, chain: Schema.Array(Schema.String), limit: Schema.Number, site }
) {
  override get message(): string {
    const [first, ...rest] = this.chain.length > 6 ? ["...", ...this.chain.slice(-5)] : this.chain
    return `"${this.task}" was enqueued ${this.limit} handlers deep, which is the limit${at(this.site)}: ` +
      `${[first, ...rest, this.task].join(" -> ")}. ` +
      "Most likely these handlers enqueue each other in a loop. End the loop, or raise maxCascade."
  }
}

/**
 * The payload of an intent is larger than `maxPayloadBytes`, encoded as JSON in UTF-8.
 *
 * @since 0.1.0
 * @category errors
 */
export class PayloadTooLargeError
  extends Schema.TaggedError<PayloadTooLargeError>("effect-airlock/PayloadTooLargeError")(
    "PayloadTooLargeError",
    { task: Schema.String, bytes: Schema.Number, limit: Schema.Number, site }
  )
{
  override get message(): string {
    return `"${this.task}" was enqueued with a payload of ${this.bytes} bytes${at(this.site)}. ` +
      `The limit is ${this.limit} bytes. ` +
      "Store the data elsewhere and enqueue its key, or raise maxPayloadBytes."
  }
}

/**
 * `Airlock.enqueueEffect` was used with a durable executor, which cannot store a closure.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotSerializableError
  extends Schema.TaggedError<NotSerializableError>("effect-airlock/NotSerializableError")(
    "NotSerializableError",
    { task: Schema.String, executor: Schema.String, site }
  )
{
  override get message(): string {
    return `"${this.task}" is a closure, and the executor "${this.executor}" stores intents outside of this process${
      at(this.site)
    }. Define a task with a payload and a handler, and enqueue that.`
  }
}

/**
 * An intent was enqueued with options that the executor of its scope cannot carry out, such as a `delay` in this process. The
 * intent was refused, because it would run as if it had no such option.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnsupportedOptionError
  extends Schema.TaggedError<UnsupportedOptionError>("effect-airlock/UnsupportedOptionError")(
    "UnsupportedOptionError",
    { task: Schema.String, options: Schema.Array(Schema.String), executor: Schema.String, site }
  )
{
  override get message(): string {
    const waits = this.options.some((option) => option === "delay" || option === "runAt")
    return `"${this.task}" was enqueued with ${this.options.map((option) => `"${option}"`).join(" and ")}, which the ` +
      `executor "${this.executor}" cannot carry out${
        at(this.site)
      }. Remove the option, or use an executor that carries it ` +
      `out: Outbox.live()${waits ? ", or Executor.background() for a delay in this process" : ""}. ` +
      "Airlock.layer({ unsupportedOptions: \"ignore\" }) runs such intents as if they had no such option."
  }
}

/**
 * Two handlers were provided for one task name in the same Airlock.
 *
 * @since 0.1.0
 * @category errors
 */
export class DuplicateTaskError extends Schema.TaggedError<DuplicateTaskError>("effect-airlock/DuplicateTaskError")(
  "DuplicateTaskError",
  { task: Schema.String }
) {
  override get message(): string {
    return `The task "${this.task}" already has a handler in this Airlock, and can have only one. ` +
      "Rename one of the two tasks, or provide only one of the two Layers."
  }
}

/**
 * The task of an intent has no handler.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownTaskError extends Schema.TaggedError<UnknownTaskError>("effect-airlock/UnknownTaskError")(
  "UnknownTaskError",
  {
    task: Schema.String,
    known: Schema.Array(Schema.String),
    /** The executor of another Airlock in this process, which has a handler for the task. */
    elsewhere: Schema.optionalWith(Schema.String, { exact: true })
  }
) {
  override get message(): string {
    const known = this.known.length === 0 ? "none" : this.known.join(", ")
    return `No handler is registered for the task "${this.task}" (registered: ${known}). ` +
      (this.elsewhere === undefined
        ? "Provide the Layer that task.toLayer(handler) returns."
        : `Another Airlock of this process, with the executor "${this.elsewhere}", has a handler for it. ` +
          "Provide one Airlock, the same Layer, to the handlers and to the scopes.")
  }
}

/**
 * `Airlock.requireDurable` found an executor that runs handlers in this process and stores no intents.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotDurableError extends Schema.TaggedError<NotDurableError>("effect-airlock/NotDurableError")(
  "NotDurableError",
  { executor: Schema.String }
) {
  override get message(): string {
    return `The Airlock of this application has the executor "${this.executor}", which stores no intents: they are lost if ` +
      "this process dies. Provide Outbox.live(), or another durable executor, in place of AirlockLive."
  }
}

/**
 * The executor could not dispatch an intent. For an executor in this process, the handler failed, died or was interrupted.
 *
 * The message names the error of the handler: its tag, its message and its fields. `stack` and `toJSON` have the error in
 * full, with its stack and its causes.
 *
 * @since 0.1.0
 * @category errors
 */
export class DispatchError extends Schema.TaggedError<DispatchError>("effect-airlock/DispatchError")("DispatchError", {
  task: Schema.String,
  /** The error of the handler, as it is. */
  cause: Schema.Defect,
  /** Further errors of the handler: those of its finalizers, and of fibers that ran beside each other. */
  also: Schema.optionalWith(Schema.Array(Schema.Defect), { exact: true })
}) {
  constructor(
    fields: { readonly task: string, readonly cause: unknown, readonly also?: ReadonlyArray<unknown> },
    options?: Schema.MakeOptions
  ) {
    super(fields, options)
    // Then `get stack` is used. The stack of the handler's error matters, and not where this error was made.
    Reflect.deleteProperty(this, "stack")
  }
  override get message(): string {
    return `Dispatching "${this.task}" failed: ${printHeadline(this.cause)}`
  }
  override get stack(): string {
    return `DispatchError: ${this.message}${printDetails(this)}`
  }
  override toJSON(): unknown {
    return { task: this.task, ...errorToJson(this) }
  }
}

/**
 * The executor stopped before it dispatched an intent: an earlier handler failed under `failFast`, or the executor was
 * interrupted.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotAttemptedError extends Schema.TaggedError<NotAttemptedError>("effect-airlock/NotAttemptedError")(
  "NotAttemptedError",
  { task: Schema.String }
) {
  override get message(): string {
    return `"${this.task}" was not attempted: the executor had stopped, because an earlier handler failed (failFast) or ` +
      "because the executor was interrupted."
  }
}

/**
 * A policy, an approval, an executor or a handler took longer than its time limit.
 *
 * @since 0.1.0
 * @category errors
 */
export class SettleTimeoutError extends Schema.TaggedError<SettleTimeoutError>("effect-airlock/SettleTimeoutError")(
  "SettleTimeoutError",
  { what: Schema.String, millis: Schema.Number }
) {
  override get message(): string {
    return `${this.what} did not complete within ${this.millis} ms. Raise its time limit if it needs longer.`
  }
}

/**
 * The reason why an executor did not dispatch an intent.
 *
 * @since 0.1.0
 * @category errors
 */
export type DispatchReason = DispatchError | UnknownTaskError | NotAttemptedError | SettleTimeoutError

/**
 * The payload of a row in the outbox does not fit the Schema of its task, which has changed since the row was written. Or an
 * `upcast` of the task threw, and `cause` is what it threw. The row is a dead letter. The message shows no values.
 *
 * @since 0.1.0
 * @category errors
 */
export class StoredPayloadError extends Schema.TaggedError<StoredPayloadError>("effect-airlock/StoredPayloadError")(
  "StoredPayloadError",
  {
    task: Schema.String,
    /** The version of the task that wrote the row. */
    storedVersion: Schema.Number,
    /** The version of the task that reads it. */
    version: Schema.Number,
    issues: Schema.Array(Schema.String),
    cause: Schema.optionalWith(Schema.Defect, { exact: true })
  }
) {
  override get message(): string {
    const { storedVersion, task, version } = this
    const [first, second] = version > storedVersion
      ? [`version ${storedVersion}`, `in version ${version}, with the upcasts that it has`]
      : [`version ${version}`, "as it is now"]
    return `A stored payload of "${task}" (${first}) does not fit the task ${second}: ${this.issues.join("; ")}. ` +
      "Let the Schema accept it, or raise the version of the task and add an upcast. Then redrive the dead letter."
  }
}

/**
 * The codec of an outbox could not encode the payload of an intent, or decode that of a row. A payload that cannot be encoded
 * is not stored, and its transaction is rolled back. One that cannot be decoded is a failed attempt, and is tried again.
 *
 * @since 0.1.0
 * @category errors
 */
export class PayloadCodecError extends Schema.TaggedError<PayloadCodecError>("effect-airlock/PayloadCodecError")(
  "PayloadCodecError",
  {
    task: Schema.String,
    operation: Schema.Literal("encode", "decode"),
    /** The error of the codec, as it is. */
    cause: Schema.Defect
  }
) {
  override get message(): string {
    return `The codec of the outbox could not ${this.operation} a payload of "${this.task}": ${
      printHeadline(this.cause)
    }`
  }
}

/**
 * A policy, or the approval of a plan, died or was interrupted while it decided about intents. Then none of them leaves.
 *
 * @since 0.1.0
 * @category errors
 */
export class PolicyFailedError extends Schema.TaggedError<PolicyFailedError>("effect-airlock/PolicyFailedError")(
  "PolicyFailedError",
  { what: Schema.String, cause: Schema.Defect }
) {
  override get message(): string {
    return `${this.what} failed while it decided: ${printHeadline(this.cause)}`
  }
  override toJSON(): unknown {
    return { what: this.what, ...errorToJson(this) }
  }
}

/**
 * A function that a user gave to Airlock, such as `shouldFlush` or the `allows` of a policy, returned a wrong value.
 *
 * @since 0.1.0
 * @category errors
 */
export class HookAnswerError extends Schema.TaggedError<HookAnswerError>("effect-airlock/HookAnswerError")(
  "HookAnswerError",
  { hook: Schema.String, returned: Schema.String, expected: Schema.String }
) {
  override get message(): string {
    return `${this.hook} returned ${this.returned}, and has to return ${this.expected}.`
  }
}

/** @internal */
export const wrongAnswer = (hook: string, returned: unknown, expected: string): HookAnswerError =>
  new HookAnswerError({ hook, returned: printHeadline(returned), expected })

/**
 * The Schema of the reason why an intent did not leave.
 *
 * @since 0.1.0
 * @category errors
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
 * The reason why an intent did not leave.
 *
 * @since 0.1.0
 * @category errors
 */
export type FlushReason = typeof FlushReason.Type

/**
 * An intent that should have left and did not, with the reason.
 *
 * @since 0.1.0
 * @category models
 */
export interface FlushFailure {
  readonly intentId: string
  /** The name of the task. */
  readonly task: string
  readonly reason: FlushReason
}

/** The message of a `FlushError` has the stacks and the causes of this many reasons. The message of each reason is in it. */
const maxPrintedInFull = 10

/**
 * A reason in full: its message, and the stack and the causes of the error behind it.
 *
 * @internal
 */
export const printReason = (reason: FlushReason): string =>
  reason._tag === "DispatchError" || reason._tag === "PolicyFailedError"
    ? reason.message + printDetails(reason)
    : reason.message

/**
 * Some intents of a scope should have left and did not. `failures` names each of them with its reason. `exit` is the exit
 * of the scope's body, whose work is done; `A` is the type of its success. Compare the error by its `_tag`.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockLive, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const program = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(
 *   Effect.asVoid,
 *   Airlock.scoped,
 *   Effect.catchTag("FlushError", ({ failures }) =>
 *     Effect.forEach(failures, ({ intentId, reason, task }) => Effect.logError(`${task} ${intentId}`, reason), {
 *       discard: true
 *     })),
 *   Effect.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class FlushError<out A = unknown>
  extends Schema.TaggedError<FlushError>("effect-airlock/FlushError")("FlushError", {
    scope: Schema.String,
    failures: Schema.Array(Schema.Struct({ intentId: Schema.String, task: Schema.String, reason: FlushReason })),
    exit: Schema.declare(Exit.isExit)
  })
{
  declare readonly exit: Exit.Exit<A, unknown>

  override get message(): string {
    const failures = this.failures.map(({ intentId, reason, task }, index) =>
      `  ${intentId} ${task}: ${indent(index < maxPrintedInFull ? printReason(reason) : reason.message)}`
    )
    return `${failures.length} intent(s) of the scope "${this.scope}" did not leave:\n${failures.join("\n")}`
  }
  override toJSON(): unknown {
    const failures = this.failures.map(({ intentId, reason, task }) => ({ intentId, task, reason: reason.toJSON() }))
    // The value of a success is the application's, and may hold secrets.
    const exit = Exit.isSuccess(this.exit) ? { _tag: this.exit._tag } : valueToJson(this.exit)
    return { _tag: this._tag, scope: this.scope, message: this.message, failures, exit }
  }
}

/**
 * The outcome of a COMMIT is unknown, usually because the connection broke before the answer arrived. The transaction may
 * be committed or not. This process discards its intents. With an outbox the intents are rows of the transaction, and they
 * leave if it was committed.
 *
 * Running the transaction again may do its work twice, so look for its rows first.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommitUnknownError
  extends Schema.TaggedError<CommitUnknownError>("effect-airlock/CommitUnknownError")("CommitUnknownError", {
    /** The `SqlError` of the driver. */
    cause: Schema.Defect
  })
{
  override get message(): string {
    return "The outcome of a COMMIT is unknown: the database did not confirm it. The transaction may be committed or not. " +
      "This process has discarded its intents. Intents in an outbox leave if the transaction was committed. " +
      "Look for the rows of the transaction before you run it again."
  }
}
