/**
 * A stored response as text, for stores outside of the process. The body is written in Base64, so that any bytes survive.
 *
 * @internal
 */
import * as Encoding from "effect/Encoding"
import * as Schema from "effect/Schema"
import type { StoredResponse } from "./store.js"

const Text = Schema.parseJson(Schema.Struct({
  status: Schema.Number,
  headers: Schema.Record({ key: Schema.String, value: Schema.String }),
  body: Schema.String,
  omitted: Schema.optionalWith(Schema.Literal("too-large", "unknown"), { exact: true })
}))

const decodeText = Schema.decodeUnknownSync(Text)

/** @internal */
export const encodeResponse = ({ body, ...response }: StoredResponse): string =>
  JSON.stringify({ ...response, body: Encoding.encodeBase64(body) })

/** Throws if the text is no response. @internal */
export const decodeResponse = (text: unknown): StoredResponse => {
  const { body, ...response } = decodeText(text)
  const bytes = Encoding.decodeBase64(body)
  if (bytes._tag === "Left") {
    throw bytes.left
  }
  return { ...response, body: bytes.right }
}
