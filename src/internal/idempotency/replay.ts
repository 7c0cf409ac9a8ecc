/**
 * A response as a store keeps it, and back.
 *
 * @internal
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Settings } from "./options.js"
import { problem } from "./problem.js"
import type { StoredResponse } from "./store.js"

/** Headers of one message or one connection, which mean nothing in another one. Cookies belong to one client. */
const notStored = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "set-cookie",
  "set-cookie2",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const storedHeaders = ({ headers }: HttpServerResponse.HttpServerResponse): Record<string, string> => {
  const named = headers["connection"]?.toLowerCase().split(",").map((name) => name.trim()) ?? []
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) =>
      typeof value === "string" && !notStored.has(name) && !named.includes(name)
    )
  )
}

/** @internal */
export const stored = (
  response: HttpServerResponse.HttpServerResponse,
  bytes: Uint8Array | undefined
): StoredResponse =>
  bytes === undefined
    ? tooLarge(response)
    : { status: response.status, headers: storedHeaders(response), body: bytes }

/** A response without its body. @internal */
export const tooLarge = ({ status }: { readonly status: number }): StoredResponse => ({
  status,
  headers: {},
  body: new Uint8Array(),
  omitted: "too-large"
})

/** The outcome of a request that committed or sent something, and has no response. @internal */
export const unknownResponse: StoredResponse = { status: 0, headers: {}, body: new Uint8Array(), omitted: "unknown" }

/** @internal */
export const replay = (
  { body, headers, omitted, status }: StoredResponse,
  settings: Settings
): HttpServerResponse.HttpServerResponse => {
  const response = omitted === "too-large"
    ? problem(settings, "response-not-stored", {
      detail: `It was answered with the status ${status}. It was not carried out again.`,
      members: { originalStatus: status }
    })
    : omitted === "unknown"
    ? problem(settings, "outcome-unknown", {
      detail: "What it changed has been kept, and it was not carried out again. Look at the resource to see the result."
    })
    : responseOf(settings.replayStatus ?? status, headers, body)
  return settings.replayHeader === undefined
    ? response
    : HttpServerResponse.setHeader(response, settings.replayHeader, "true")
}

const responseOf = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array
): HttpServerResponse.HttpServerResponse => {
  const contentType = headers["content-type"]
  return body.length === 0
    ? HttpServerResponse.empty({ status, headers })
    : HttpServerResponse.uint8Array(body, { status, headers, ...(contentType !== undefined && { contentType }) })
}
