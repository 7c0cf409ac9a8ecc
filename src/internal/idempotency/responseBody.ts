/**
 * Collects the body of a response before it is sent, with a limit, so that it can be stored.
 *
 * @internal
 */
import * as Cookies from "@effect/platform/Cookies"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as EffectScope from "effect/Scope"
import * as Stream from "effect/Stream"

/** @internal */
export interface Captured {
  /** The response to send instead: its body may have been read. */
  readonly response: HttpServerResponse.HttpServerResponse
  /** The bytes of the body; `undefined` if there are more than the limit, or if the body failed. */
  readonly bytes: Uint8Array | undefined
  readonly hasFailed: boolean
}

const none = new Uint8Array()
const utf8 = new TextEncoder()

/**
 * Captures the body of a response. A body that is longer than the limit, or that fails, is sent as it would have been. So is a
 * stream of events, which may have no end. A client that disconnects ends the stream.
 *
 * @internal
 */
export const capture = (
  response: HttpServerResponse.HttpServerResponse,
  maxBytes: number
): Effect.Effect<Captured> => {
  const { body } = response
  switch (body._tag) {
    case "Empty":
      return Effect.succeed({ response, bytes: none, hasFailed: false })
    case "Uint8Array":
      return Effect.succeed(whole(response, body.body, maxBytes))
    case "Stream":
      return body.contentType.startsWith("text/event-stream")
        ? Effect.succeed(tooLong(response))
        : captureStream(response, body.stream, maxBytes)
    case "FormData": {
      const web = new Response(body.formData)
      return captureWeb(response, web, web.headers.get("content-type") ?? undefined, maxBytes)
    }
    case "Raw":
      return captureRaw(response, body.body, maxBytes)
  }
}

/** The bytes of a body that is not read by looking at it. @internal */
export const bytesAtHand = ({ body }: HttpServerResponse.HttpServerResponse): Uint8Array | undefined =>
  body._tag === "Empty" ? none : body._tag === "Uint8Array" ? body.body : undefined

const tooLong = (response: HttpServerResponse.HttpServerResponse): Captured => ({
  response,
  bytes: undefined,
  hasFailed: false
})

const whole = (response: HttpServerResponse.HttpServerResponse, bytes: Uint8Array, maxBytes: number): Captured =>
  bytes.length > maxBytes ? tooLong(response) : { response, bytes, hasFailed: false }

const withBytes = (
  response: HttpServerResponse.HttpServerResponse,
  bytes: Uint8Array,
  contentType = response.headers["content-type"]
): HttpServerResponse.HttpServerResponse => {
  const { cookies, headers, status, statusText } = response
  // `content-length` is that of the bytes, and a body of known length has no transfer encoding.
  const { "content-length": _, "transfer-encoding": __, ...others } = headers
  if (bytes.length === 0) {
    return HttpServerResponse.empty({
      status,
      cookies,
      headers: others,
      ...(statusText !== undefined && { statusText })
    })
  }
  return HttpServerResponse.uint8Array(bytes, {
    status,
    cookies,
    headers: others,
    ...(statusText !== undefined && { statusText }),
    ...(contentType !== undefined && { contentType })
  })
}

const captureStream = (
  response: HttpServerResponse.HttpServerResponse,
  stream: Stream.Stream<Uint8Array, unknown>,
  maxBytes: number
): Effect.Effect<Captured> =>
  Effect.gen(function*() {
    const scope = yield* EffectScope.make()
    const pull = yield* EffectScope.extend(Stream.toPull(stream), scope)
    const chunks: Array<Uint8Array> = []
    let size = 0
    /** Sends what was read, and then the rest. */
    const goOn = (rest: Stream.Stream<Uint8Array, unknown>, hasFailed: boolean): Captured => ({
      response: HttpServerResponse.setBody(
        response,
        {
          ...response.body,
          stream: Stream.concat(Stream.fromIterable(chunks), rest).pipe(
            Stream.ensuringWith((exit) => EffectScope.close(scope, exit))
          )
        } as typeof response.body
      ),
      bytes: undefined,
      hasFailed
    })
    for (;;) {
      const pulled = yield* Effect.exit(Effect.interruptible(pull))
      if (Exit.isSuccess(pulled)) {
        for (const chunk of pulled.value) {
          chunks.push(chunk)
          size += chunk.length
        }
        if (size > maxBytes) {
          return goOn(Stream.repeatEffectChunkOption(pull), false)
        }
      } else if (pulled.cause._tag === "Fail" && Option.isNone(pulled.cause.error)) {
        yield* EffectScope.close(scope, Exit.void)
        const bytes = concat(chunks, size)
        return { response: withBytes(response, bytes), bytes, hasFailed: false }
      } else {
        yield* EffectScope.close(scope, pulled)
        return goOn(Stream.repeatEffectChunkOption(Effect.failCause(pulled.cause)), true)
      }
    }
  })

/** A body that the host sends as it is: a text, bytes, a stream or a response of the host. */
const captureRaw = (
  response: HttpServerResponse.HttpServerResponse,
  body: unknown,
  maxBytes: number
): Effect.Effect<Captured> => {
  if (body instanceof Response) {
    // A web handler sends this response, with the headers of the other one.
    const headers: Record<string, string> = {}
    body.headers.forEach((value, name) => {
      if (name !== "set-cookie") {
        headers[name] = value
      }
    })
    const merged = HttpServerResponse.raw(body, {
      status: body.status,
      headers: { ...headers, ...response.headers },
      cookies: Cookies.merge(Cookies.fromSetCookie(body.headers.getSetCookie()), response.cookies)
    })
    return captureWeb(merged, body, undefined, maxBytes)
  }
  if (body === null || body === undefined) {
    return Effect.succeed({ response, bytes: none, hasFailed: false })
  }
  if (typeof body === "string") {
    return Effect.succeed(whole(response, utf8.encode(body), maxBytes))
  }
  if (
    body instanceof ReadableStream || body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body)
  ) {
    return captureWeb(response, new Response(body as Blob), undefined, maxBytes)
  }
  if (Predicate.hasProperty(body, Symbol.asyncIterator)) {
    const chunks = Stream.fromAsyncIterable(body as AsyncIterable<Uint8Array | string>, (error) => error).pipe(
      Stream.map((chunk) => typeof chunk === "string" ? utf8.encode(chunk) : chunk)
    )
    return captureStream(HttpServerResponse.setBody(response, streamed(chunks, response)), chunks, maxBytes)
  }
  return Effect.succeed(tooLong(response))
}

const streamed = (
  stream: Stream.Stream<Uint8Array, unknown>,
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse["body"] =>
  HttpServerResponse.stream(stream, { contentType: response.headers["content-type"] ?? "application/octet-stream" })
    .body

const captureWeb = (
  response: HttpServerResponse.HttpServerResponse,
  web: Response,
  contentType: string | undefined,
  maxBytes: number
): Effect.Effect<Captured> => {
  if (web.body === null) {
    return Effect.succeed({ response: withBytes(response, none, contentType), bytes: none, hasFailed: false })
  }
  const stream = Stream.fromReadableStream<Uint8Array, unknown>(() => web.body!, (error) => error)
  const typed = contentType === undefined
    ? response
    : HttpServerResponse.setHeader(response, "content-type", contentType)
  return captureStream(HttpServerResponse.setBody(typed, streamed(stream, typed)), stream, maxBytes)
}

const concat = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
