/**
 * The responses of the middleware itself: problem details (RFC 9457) with stable codes.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Settings } from "./options.js"

/** A line for each problem: its status, and what happened. */
const problems = {
  "key-missing": [400, "The request needs an idempotency key"],
  "key-invalid": [400, "The idempotency key is not valid"],
  "body-unreadable": [400, "The body of the request could not be read"],
  "request-too-large": [413, "The body of the request is too large"],
  "key-reused": [422, "The idempotency key belongs to another request"],
  "in-flight": [409, "A request with this idempotency key is in progress"],
  "response-not-stored": [409, "The request was carried out before, and its response was too large to be stored"],
  "outcome-unknown": [409, "The request was carried out before, and its response is not known"],
  "store-unavailable": [503, "The idempotency key could not be checked"]
} as const

/**
 * The stable codes of the problems that the middleware answers with, in the member `code`.
 *
 * @since 0.1.0
 * @category models
 */
export type ProblemCode = keyof typeof problems

/** @internal */
export interface ProblemOptions {
  readonly detail: string
  /** Default: that of the problem. */
  readonly status?: number
  readonly retryAfterMillis?: number
  readonly members?: Readonly<Record<string, unknown>>
}

/** @internal */
export const problem = (
  { documentation }: Pick<Settings, "documentation">,
  code: ProblemCode,
  { detail, members, retryAfterMillis, status = problems[code][0] }: ProblemOptions
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(
    JSON.stringify({
      type: documentation === undefined ? "about:blank" : `${documentation}#${code}`,
      title: problems[code][1],
      status,
      code,
      detail,
      ...members
    }),
    {
      status,
      contentType: "application/problem+json",
      headers: {
        "cache-control": "no-store",
        ...(documentation !== undefined && { link: `<${documentation}>; rel="describedby"` }),
        ...(retryAfterMillis !== undefined &&
          { "retry-after": String(Math.max(1, Math.ceil(retryAfterMillis / 1000))) })
      }
    }
  )
