/**
 * Reads the body of a request once, with a limit, and serves the handler from the bytes.
 *
 * On Node a second reader of a body would wait for ever. So the members of the request that read the body are replaced, on the
 * same object: the platform recognises a request by its identity.
 *
 * @internal
 */
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpServerError from "@effect/platform/HttpServerError"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Multipart from "@effect/platform/Multipart"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** @internal */
export type RequestBody =
  | { readonly _tag: "Read", readonly bytes: Uint8Array }
  | { readonly _tag: "TooLarge" }
  | { readonly _tag: "Unreadable", readonly detail: string }

const empty: RequestBody = { _tag: "Read", bytes: new Uint8Array() }
const tooLarge: RequestBody = { _tag: "TooLarge" }

/** The part of Node's `IncomingMessage` that is used. */
interface NodeMessage {
  readonly httpVersionMajor: number
  readonly readableEnded: boolean
  readonly on: (event: string, listener: (value: unknown) => void) => void
  readonly off: (event: string, listener: (value: unknown) => void) => void
  readonly resume: () => void
}

const isNodeMessage = (source: unknown): source is NodeMessage =>
  typeof source === "object" && source !== null && "on" in source && "off" in source && "resume" in source &&
  "readableEnded" in source

/** In HTTP/1 a body has a length or a transfer encoding. In HTTP/2 it needs neither. */
const isHttp1 = (source: unknown): boolean => isNodeMessage(source) && source.httpVersionMajor < 2

/** @internal */
export const readBody = (request: HttpServerRequest, maxBytes: number): Effect.Effect<RequestBody> => {
  const { headers, source } = request
  const length = headers["content-length"]
  if (length === "0" || (length === undefined && headers["transfer-encoding"] === undefined && isHttp1(source))) {
    return Effect.succeed(empty)
  }
  // Without a reader, Node discards the body after the response, and the connection stays usable.
  return Number(length) > maxBytes
    ? Effect.succeed(tooLarge)
    : isNodeMessage(source)
    ? readNode(source, maxBytes)
    : source instanceof Request
    ? readWeb(source, maxBytes)
    : readOther(request, maxBytes)
}

const consumed: RequestBody = {
  _tag: "Unreadable",
  detail:
    "The body was read before the idempotency key was checked. The middleware has to stand outside of its readers."
}

const readNode = (source: NodeMessage, maxBytes: number): Effect.Effect<RequestBody> =>
  source.readableEnded ? Effect.succeed(consumed) : Effect.async<RequestBody>((resume) => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const end = (body: RequestBody) => {
      listeners.forEach(([event, listener]) => source.off(event, listener))
      resume(Effect.succeed(body))
    }
    const broken = () => end({ _tag: "Unreadable", detail: "The connection broke off." })
    const listeners: ReadonlyArray<readonly [string, (value: unknown) => void]> = [
      ["data", (chunk) => {
        // Nobody has set an encoding.
        const bytes = chunk as Uint8Array
        size += bytes.length
        if (size > maxBytes) {
          end(tooLarge)
          source.resume()
        } else {
          chunks.push(bytes)
        }
      }],
      ["end", () => end({ _tag: "Read", bytes: join(chunks, size) })],
      ["error", broken],
      ["close", broken]
    ]
    listeners.forEach(([event, listener]) => source.on(event, listener))
    return Effect.sync(() => listeners.forEach(([event, listener]) => source.off(event, listener)))
  })

/** Reads a copy, so that the handler can still use the request itself. */
const readWeb = (source: Request, maxBytes: number): Effect.Effect<RequestBody> =>
  source.bodyUsed ?
    Effect.succeed(consumed) :
    source.body === null ?
    Effect.succeed(empty) :
    Effect.promise(async () => {
      const chunks: Array<Uint8Array> = []
      let size = 0
      try {
        const reader = source.clone().body!.getReader()
        for (;;) {
          const { done, value } = await reader.read()
          if (done) {
            return { _tag: "Read", bytes: join(chunks, size) }
          }
          size += value.length
          if (size > maxBytes) {
            reader.cancel().catch(() => {})
            return tooLarge
          }
          chunks.push(value)
        }
      } catch (error) {
        return { _tag: "Unreadable", detail: String(error) }
      }
    })

const readOther = (request: HttpServerRequest, maxBytes: number): Effect.Effect<RequestBody> =>
  Effect.match(request.arrayBuffer, {
    onFailure: (error): RequestBody => ({ _tag: "Unreadable", detail: error.message }),
    onSuccess: (buffer) => buffer.byteLength > maxBytes ? tooLarge : { _tag: "Read", bytes: new Uint8Array(buffer) }
  })

const join = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  if (chunks.length === 1) {
    return chunks[0]!
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/** The body of a request, and what was made of it. */
interface Served {
  readonly bytes: Uint8Array
  readonly isNode: boolean
  /** The platform's own. */
  readonly modify: HttpServerRequest["modify"]
  text: string | undefined
  multipart: HttpServerRequest["multipart"] | undefined
}

const ServedKey: unique symbol = Symbol.for("effect-airlock/servedBody")

type Serving = HttpServerRequest & { readonly [ServedKey]: Served }

// As without the middleware: Node keeps a byte order mark.
const utf8OfNode = new TextDecoder("utf-8", { ignoreBOM: true })
const utf8 = new TextDecoder()

const textOf = (served: Served): string => served.text ??= (served.isNode ? utf8OfNode : utf8).decode(served.bytes)

const attempt = <A>(request: Serving, read: () => A) =>
  Effect.flatMap(HttpIncomingMessage.MaxBodySize, (limit) =>
    Effect.try({
      try: () => {
        // As without the middleware: Node has this limit, and web handlers have not.
        const { bytes, isNode } = request[ServedKey]
        if (isNode && limit._tag === "Some" && bytes.length > Number(limit.value)) {
          throw new Error("maxBytes exceeded")
        }
        return read()
      },
      catch: (cause) => new HttpServerError.RequestError({ request, reason: "Decode", cause })
    }))

const streamOf = <E>({ bytes }: Served): Stream.Stream<Uint8Array, E> =>
  bytes.length === 0 ? Stream.empty : Stream.sync(() => bytes.slice())

const multipartStreamOf = ({ headers, [ServedKey]: served }: Serving): HttpServerRequest["multipartStream"] =>
  Stream.pipeThroughChannel(streamOf<Multipart.MultipartError>(served), Multipart.makeChannel(headers))

/** The members of a request that read its body. */
const members: {
  readonly [Name in Exclude<string & keyof HttpServerRequest, "toString">]?: (
    request: Serving
  ) => HttpServerRequest[Name]
} = {
  text: (request) => attempt(request, () => textOf(request[ServedKey])),
  json: (request) => {
    const served = request[ServedKey]
    // An empty body is `null` on Node, and an error elsewhere.
    return attempt(
      request,
      (): unknown => served.isNode && served.bytes.length === 0 ? null : JSON.parse(textOf(served))
    )
  },
  urlParamsBody: (request) =>
    attempt(request, () => UrlParams.fromInput(new URLSearchParams(textOf(request[ServedKey])))),
  arrayBuffer: (request) => attempt(request, () => request[ServedKey].bytes.slice().buffer as ArrayBuffer),
  stream: (request) => streamOf(request[ServedKey]),
  multipartStream: multipartStreamOf,
  multipart: (request) =>
    request[ServedKey].multipart ??= Effect.runSync(Effect.cached(Multipart.toPersisted(multipartStreamOf(request))))
}

const descriptors: PropertyDescriptorMap = {
  ...Object.fromEntries(
    Object.entries(members).map(([name, read]) => [name, {
      configurable: true,
      get(this: Serving) {
        return read(this)
      }
    }])
  ),
  modify: {
    configurable: true,
    value: function(this: Serving, options: Parameters<HttpServerRequest["modify"]>[0]) {
      const { bytes, modify } = this[ServedKey]
      const modified = modify.call(this, options)
      serveBody(modified, bytes)
      return modified
    }
  }
}

/** The prototypes of requests with these members, by the prototypes of the platform. It is faster than to define them each time. */
const prototypes = new WeakMap<object, object>()

/** Lets a request serve its body from bytes, as often as the handler asks. @internal */
export const serveBody = (request: HttpServerRequest, bytes: Uint8Array): void => {
  const served: Served = {
    bytes,
    isNode: isNodeMessage(request.source),
    modify: request.modify,
    text: undefined,
    multipart: undefined
  }
  const serving: object & { [ServedKey]?: Served } = request
  serving[ServedKey] = served
  if (Object.hasOwn(request, "text")) {
    Object.defineProperties(request, descriptors)
    return
  }
  const own: object = Object.getPrototypeOf(request)
  let prototype = prototypes.get(own)
  if (prototype === undefined) {
    prototype = Object.create(own, descriptors) as object
    prototypes.set(own, prototype)
  }
  Object.setPrototypeOf(request, prototype)
}
