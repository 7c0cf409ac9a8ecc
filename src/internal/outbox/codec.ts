/**
 * The codec of an outbox: encodes payloads on their way into the table, and decodes them on their way out.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { PayloadCodecError } from "../../AirlockError.js"
import { printHeadline } from "../support/printError.js"

/**
 * The intent whose payload a codec encodes or decodes.
 *
 * @since 0.1.0
 * @category models
 */
export interface PayloadContext {
  /** The name of its task. */
  readonly task: string
  /** The version of the task that encoded the payload. */
  readonly version: number
  /** The id of the intent. */
  readonly id: string
}

/**
 * Encrypts or compresses the payloads of an outbox. Both functions get a text and return a text, or an Effect of one. The text
 * that `encode` returns is stored, so bytes have to be written as base64. `decode` has to read everything that `encode` has ever
 * written, until no row of it is left.
 *
 * `encode` runs right before the insert, in the transaction. If it fails, the transaction is rolled back with a `SqlError`
 * whose cause is a `PayloadCodecError`. If `decode` fails, the attempt has failed, and is tried again.
 *
 * Rows remember whether a codec has encoded them. So rows from before the codec are read as they are, and a relay without a codec
 * takes no encoded row for a damaged one.
 *
 * @since 0.1.0
 * @category options
 */
export interface PayloadCodec {
  readonly encode: (payload: string, context: PayloadContext) => string | Effect.Effect<string, unknown>
  readonly decode: (payload: string, context: PayloadContext) => string | Effect.Effect<string, unknown>
}

/** Encodes or decodes a payload. Returns a text if the codec needs no Effect. @internal */
export const runCodec = (
  codec: PayloadCodec | undefined,
  operation: "encode" | "decode",
  payload: string,
  context: PayloadContext
): string | Effect.Effect<string, PayloadCodecError> => {
  const failed = (cause: unknown) => Effect.fail(new PayloadCodecError({ task: context.task, operation, cause }))
  if (codec === undefined) {
    return failed(new Error("its row was written with a codec, and this relay has none. Give Outbox.relay the codec."))
  }
  const checked = (answer: unknown): string | Effect.Effect<never, PayloadCodecError> =>
    typeof answer === "string"
      ? answer
      : failed(new TypeError(`the codec returned ${printHeadline(answer)}, and has to return a text`))
  try {
    const answer: unknown = codec[operation](payload, context)
    return Effect.isEffect(answer)
      // The codec's type says what its Effect fails with, and that it needs no services.
      ? Effect.matchCauseEffect(answer as Effect.Effect<unknown, unknown>, {
        onFailure: (cause) => Cause.isInterruptedOnly(cause) ? Effect.interrupt : failed(Cause.squash(cause)),
        onSuccess: (answer) => {
          const text = checked(answer)
          return typeof text === "string" ? Effect.succeed(text) : text
        }
      })
      : checked(answer)
  } catch (error) {
    return failed(error)
  }
}
