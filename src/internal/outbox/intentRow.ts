/**
 * Converts an intent to a row of the outbox, and a claimed row back to an intent.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { type PayloadCodecError, StoredPayloadError } from "../../AirlockError.js"
import type { AnyTask, EnqueueOptions, Intent, IntentId } from "../../Intent.js"
import type { Handlers } from "../contract/executor.js"
import { type Cascade, cascadeOf, tasksOf } from "../scope/cascade.js"
import { type IntentRecord, recordOf } from "../scope/intentRecord.js"
import { asEither } from "../support/asEither.js"
import { decode, encode, issuesIn } from "../support/payload.js"
import { type PayloadCodec, runCodec } from "./codec.js"
import { type ClaimedRow, defaultQueue, type NewRow } from "./store/row.js"

/** The rows of some intents. Fails if the codec fails. @internal */
export const rowsOf = (
  intents: ReadonlyArray<Intent>,
  codec: PayloadCodec | undefined
): Effect.Effect<ReadonlyArray<NewRow>, PayloadCodecError> =>
  Effect.suspend(() => {
    const rows = intents.map((intent) => rowOf(intent, codec !== undefined))
    return codec === undefined
      ? Effect.succeed(rows)
      : Effect.forEach(rows, (row) => {
        const payload = runCodec(codec, "encode", row.payload, row)
        return typeof payload === "string"
          ? Effect.succeed({ ...row, payload })
          : Effect.map(payload, (payload) => ({ ...row, payload }))
      })
  })

const rowOf = (intent: Intent & { readonly cascade?: Cascade | undefined }, hasCodec: boolean): NewRow => {
  const { cascade, encoded, enqueuedAt, id, options, payload, span, task } = intent
  return {
    id,
    task: task.name,
    version: task.version ?? 1,
    payload: encoded ?? encode(task, payload),
    options: encodeOptions({
      origin: options.origin,
      native: options.native,
      cascade: cascade && Arr.reverse(tasksOf(cascade)),
      unsampled: span?.sampled === false ? true : undefined,
      codec: hasCodec ? true : undefined
    }),
    queue: options.queue ?? defaultQueue,
    priority: options.priority ?? 0,
    dedupeKey: options.dedupeKey ?? null,
    orderingKey: options.orderingKey ?? null,
    maxAttempts: options.maxAttempts ?? null,
    availableAt: options.runAt?.getTime() ?? null,
    delayMillis: options.delay === undefined ? null : Duration.toMillis(options.delay),
    enqueuedAt,
    traceId: span?.traceId ?? null,
    spanId: span?.spanId ?? null
  }
}

/** What has no column of its own. */
interface EncodedOptions extends Pick<EnqueueOptions, "origin" | "native"> {
  /** The tasks of the intent's cascade, the last one first. */
  readonly cascade?: ReadonlyArray<string>
  /** Whether the trace of the enqueue is not sampled. */
  readonly unsampled?: true
  /** Whether a codec has encoded the payload. */
  readonly codec?: true
}

const encodeOptions = (
  options: { readonly [Name in keyof EncodedOptions]: EncodedOptions[Name] | undefined }
): string | null => Object.values(options).every((value) => value === undefined) ? null : JSON.stringify(options)

/**
 * A row is of a newer version than the task of this process. A newer relay has to run it.
 *
 * @internal
 */
export class NewerVersionError extends Data.TaggedError("NewerVersionError")<{
  readonly task: string
  readonly storedVersion: number
  readonly version: number
}> {
  override get message(): string {
    return `An intent of "${this.task}" has version ${this.storedVersion}, and the handler here has version ${this.version}`
  }
}

/**
 * Why a row is no intent. Only a row with a `StoredPayloadError` can never become one: for a `PayloadCodecError` the attempt
 * has failed, and a row with a `NewerVersionError` is for another relay.
 *
 * @internal
 */
export type RowError = StoredPayloadError | PayloadCodecError | NewerVersionError

/**
 * The intent of a row: decodes its payload once, with the upcasts of its task. It does not throw. It returns an Either unless
 * the codec or the Schema needs a fiber: an Either is an Effect that needs none.
 *
 * @internal
 */
export const intentOf = (
  row: ClaimedRow,
  handlers: Pick<Handlers, "task">,
  codec?: PayloadCodec
): Effect.Effect<Intent, RowError> => {
  // If the handler has closed since the claim, its run fails with an `UnknownTaskError`, and the row is retried. A relay that
  // hands rows over knows no task.
  const known = handlers.task(row.task)
  const task = known ?? { name: row.task, payloadSchema: Schema.Unknown, version: row.version }
  const { version = 1 } = task
  if (row.version > version) {
    return Either.left(new NewerVersionError({ task: row.task, storedVersion: row.version, version }))
  }
  let options = noOptions
  if (row.options !== null) {
    try {
      options = JSON.parse(row.options)
    } catch {
      return undecodable(row, task, ["options: no JSON"])
    }
  }
  const intent = (payload: unknown, text: string) => {
    const record = intentWith(row, task, payload, options)
    if (known === undefined) {
      // An executor that stores it elsewhere gets what the outbox has stored.
      record.durable = { encoded: text, dropped: undefined, outbox: undefined }
    }
    return record
  }
  if (options.codec !== true) {
    return decodeText(row, task, row.payload, intent)
  }
  const text = runCodec(codec, "decode", row.payload, row)
  return typeof text === "string"
    ? decodeText(row, task, text, intent)
    : Effect.flatMap(text, (text) => decodeText(row, task, text, intent))
}

const noOptions: EncodedOptions = {}

/** Decodes a payload that a task of this version has encoded, with the upcasts of the task as it is now. @internal */
export const decodeText = <A>(
  row: Pick<ClaimedRow, "version">,
  task: AnyTask,
  text: string,
  intent: (payload: unknown, text: string) => A
): Effect.Effect<A, StoredPayloadError> => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undecodable(row, task, ["payload: no JSON"])
  }
  try {
    value = upcasted(task, row.version, value)
  } catch (cause) {
    // The message of a ParseError shows values.
    return ParseResult.isParseError(cause)
      ? undecodable(row, task, issuesIn(cause.issue))
      : undecodable(row, task, ["an upcast threw"], { cause })
  }
  const decoded = decode(task, value)
  const either = asEither(decoded)
  return either === undefined
    ? Effect.matchEffect(decoded, {
      onFailure: (issues) => undecodable(row, task, issues),
      onSuccess: (payload) => Effect.succeed(intent(payload, text))
    })
    : Either.isRight(either)
    ? Either.right(intent(either.right, text))
    : undecodable(row, task, either.left)
}

/** Carries an encoded payload over from the version of its row to that of its task. */
const upcasted = ({ upcast, version = 1 }: AnyTask, from: number, value: unknown): unknown => {
  if (upcast === undefined) {
    return value
  }
  let current = value
  for (let at = from; at < version; at++) {
    const next = upcast[at]
    current = next === undefined ? current : next(current)
  }
  return current
}

const undecodable = (
  { version: storedVersion }: Pick<ClaimedRow, "version">,
  { name, version = 1 }: AnyTask,
  issues: ReadonlyArray<string>,
  thrown?: { readonly cause: unknown }
) => Either.left(new StoredPayloadError({ task: name, storedVersion, version, issues, ...thrown }))

const intentWith = (row: ClaimedRow, task: AnyTask, payload: unknown, options: EncodedOptions): IntentRecord =>
  recordOf({
    // `rowOf` wrote the id of an intent.
    id: row.id as IntentId,
    task,
    payload,
    options: optionsOf(row, options),
    cascade: options.cascade && cascadeOf(Arr.reverse(options.cascade)),
    enqueuedAt: row.enqueuedAt,
    span: row.traceId === null || row.spanId === null
      ? undefined
      : Tracer.externalSpan({ traceId: row.traceId, spanId: row.spanId, sampled: options.unsampled !== true })
  })

const optionsOf = (row: ClaimedRow, { native, origin }: EncodedOptions): EnqueueOptions => ({
  priority: row.priority,
  ...(row.queue !== defaultQueue && { queue: row.queue }),
  ...(row.dedupeKey !== null && { dedupeKey: row.dedupeKey }),
  ...(row.orderingKey !== null && { orderingKey: row.orderingKey }),
  ...(row.maxAttempts !== null && { maxAttempts: row.maxAttempts }),
  ...(origin !== undefined && { origin }),
  ...(native !== undefined && { native })
})
