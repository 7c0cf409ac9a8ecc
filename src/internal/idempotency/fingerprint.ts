/**
 * The identity of a record, and the fingerprint of a request. Both are hashes of delimited parts, so that no two lists of parts
 * collide, and nothing of a request can be read in a store.
 *
 * @internal
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { canonicalJson } from "./canonicalJson.js"
import { sha256 } from "./digest.js"
import type { Settings } from "./options.js"

/** The path and the query as the client sent them, before a router cut a prefix off. */
const splitUrl = (originalUrl: string): readonly [path: string, query: string] => {
  const withoutHost = originalUrl.startsWith("/")
    ? originalUrl
    : originalUrl.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "")
  const url = withoutHost.split("#")[0]!
  const at = url.indexOf("?")
  const path = at === -1 ? url : url.slice(0, at)
  return [path === "" ? "/" : path, at === -1 ? "" : url.slice(at + 1)]
}

/** The path of a request, without its query. @internal */
export const pathOf = ({ originalUrl }: HttpServerRequest): string => splitUrl(originalUrl)[0]

/** The caller by default: what is sent as Authorization. It is only ever stored as a part of the hash. */
const callerByAuthorization = ({ headers }: HttpServerRequest): string => headers["authorization"] ?? ""

/** Goes on at once with what is at hand. */
const andThen = <A>(
  value: string | Effect.Effect<string>,
  f: (value: string) => A | Effect.Effect<A>
): A | Effect.Effect<A> =>
  typeof value === "string"
    ? f(value)
    : Effect.flatMap(value, (value) => {
      const result = f(value)
      return Effect.isEffect(result) ? result as Effect.Effect<A> : Effect.succeed(result)
    })

/** The id of the record of a key. @internal */
export const recordId = (
  request: HttpServerRequest,
  key: string,
  { caller = callerByAuthorization }: Settings
): string | Effect.Effect<string> =>
  andThen(caller(request), (caller) =>
    // In JSON, parts end where their quotes do.
    sha256(JSON.stringify([request.method, pathOf(request), caller, key])))

/** @internal */
export const fingerprintOf = (
  request: HttpServerRequest,
  body: Uint8Array,
  { fingerprint }: Settings
): string | Effect.Effect<string> => {
  if (typeof fingerprint === "function") {
    return andThen(fingerprint(request, body), (text) => sha256(JSON.stringify(["function", text])))
  }
  const query = splitUrl(request.originalUrl)[1]
  const json = fingerprint === "json" ? canonicalJson(body) : undefined
  return json === undefined
    ? sha256(`${JSON.stringify(["bytes", query])}\n`, body)
    : sha256(JSON.stringify(["json", query, json]))
}
