/**
 * The options of idempotency keys, their defaults, and which of them hold for a route.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { IdempotencyStoreService } from "./store.js"

/**
 * What a route does with idempotency keys.
 *
 * - `required`: a request without a key is refused (400).
 * - `optional`: a request without a key runs without protection.
 * - `exempt`: keys are ignored.
 * - `manual`: a key is required, and the handler runs each time, even while another request with the key runs. `Idempotency.current`
 *   tells it whether the key exists, and what was answered.
 *
 * @since 0.1.0
 * @category options
 */
export type IdempotencyMode = "required" | "optional" | "exempt" | "manual"

/**
 * The options of idempotency keys, for all routes or for one.
 *
 * @since 0.1.0
 * @category options
 */
export interface IdempotencyOptions {
  /** What is done with keys. Safe methods (GET, HEAD, OPTIONS, TRACE) are never touched. Default: `required`. */
  readonly mode?: IdempotencyMode
  /** The name of the request's header. Default: `Idempotency-Key`. */
  readonly header?: string
  /**
   * Identifies the caller. Callers share no keys. Give a function where sessions or cookies identify them: requests without an
   * Authorization header are otherwise one caller. Only a hash of it is stored. Default: the Authorization header.
   */
  readonly caller?: (request: HttpServerRequest.HttpServerRequest) => string | Effect.Effect<string, never, any>
  /**
   * What makes two requests the same: the query and the bytes of the body (`bytes`), the query and the value of a JSON body
   * (`json`), or the text that a function returns. Default: `bytes`.
   */
  readonly fingerprint?:
    | "bytes"
    | "json"
    | ((
      request: HttpServerRequest.HttpServerRequest,
      body: Uint8Array
    ) => string | Effect.Effect<string, never, any>)
  /**
   * What a duplicate gets while the first request runs: a 409 at once (`conflict`), or, after it has waited in vain for the
   * response for a time, this status. Default: `conflict`.
   */
  readonly inFlight?: "conflict" | { readonly wait: Duration.DurationInput, readonly status?: 409 | 423 }
  /** The `Retry-After` of responses to duplicates and of a 503, rounded up to seconds. Default: 1 second. */
  readonly retryAfter?: Duration.DurationInput
  /** The status of replays. Default: that of the stored response. */
  readonly replayStatus?: number
  /** The header that marks replays, with the value `true`. `false`: none. Default: `Idempotency-Replayed`. */
  readonly replayHeader?: string | false
  /**
   * Which responses are stored: a list of statuses, or a predicate. After any other response the key is free again, unless the
   * request has committed or sent something: then its response is stored all the same. Default: 2xx, 3xx, and 4xx other than
   * 401, 403, 408, 409, 425 and 429.
   */
  readonly storeResponse?:
    | ReadonlyArray<number>
    | ((response: HttpServerResponse.HttpServerResponse, request: HttpServerRequest.HttpServerRequest) => boolean)
  /** How long a response is kept, by the clock of the store. Replays do not extend it. Default: 24 hours. */
  readonly ttl?: Duration.DurationInput
  /**
   * How long a key belongs to a request whose process has died. A request that runs renews its lease after each third of it.
   * Default: 30 seconds.
   */
  readonly lease?: Duration.DurationInput
  /** A request with a larger body gets a 413. In bytes. Default: 10 MiB. */
  readonly maxRequestBytes?: number
  /** Of a larger response only the status is stored, and a replay is a 409 with the code `response-not-stored`. Default: 1 MiB. */
  readonly maxResponseBytes?: number
  /** What happens if the store fails: a 503 (`refuse`), or the request runs without protection (`open`). Default: `refuse`. */
  readonly onStoreError?: "refuse" | "open"
  /** The address of your documentation of keys. It becomes the `type` and the `Link` of problems. Default: none. */
  readonly documentation?: string
  /** The store. A tag is an Effect that returns its service. Default: the tag `IdempotencyStore`. */
  readonly store?: Effect.Effect<IdempotencyStoreService, never, any>
}

/**
 * The options for the requests of a path. Those that are absent are the options of the middleware.
 *
 * @since 0.1.0
 * @category options
 */
export interface IdempotencyRoute extends IdempotencyOptions {
  /** Default: POST, PUT, PATCH and DELETE. */
  readonly method?: "POST" | "PUT" | "PATCH" | "DELETE"
  /** A path as routers have it: `/orders/:id`, `/files/*`. With the prefix at which a router is mounted. */
  readonly path: `/${string}`
}

/**
 * The options contradict each other, or one has no sense. Thrown when the middleware is made.
 *
 * @since 0.1.0
 * @category errors
 */
export class IdempotencyOptionsError extends Schema.TaggedError<IdempotencyOptionsError>(
  "effect-airlock/IdempotencyOptionsError"
)("IdempotencyOptionsError", { reason: Schema.String }) {
  override get message(): string {
    return `Wrong options of idempotency keys: ${this.reason}`
  }
}

/** The options with their defaults. @internal */
export interface Settings {
  readonly mode: IdempotencyMode
  readonly header: string
  readonly caller: ((request: HttpServerRequest.HttpServerRequest) => string | Effect.Effect<string>) | undefined
  readonly fingerprint:
    | "bytes"
    | "json"
    | ((request: HttpServerRequest.HttpServerRequest, body: Uint8Array) => string | Effect.Effect<string>)
  readonly waitMillis: number
  readonly inFlightStatus: number
  readonly retryAfterMillis: number
  readonly replayStatus: number | undefined
  readonly replayHeader: string | undefined
  readonly storesResponse: (
    response: HttpServerResponse.HttpServerResponse,
    request: HttpServerRequest.HttpServerRequest
  ) => boolean
  readonly ttlMillis: number
  readonly leaseMillis: number
  readonly maxRequestBytes: number
  readonly maxResponseBytes: number
  readonly isOpen: boolean
  readonly documentation: string | undefined
  readonly store: Effect.Effect<IdempotencyStoreService> | undefined
}

/** The 4xx that a retry can change. */
const passing = new Set([401, 403, 408, 409, 425, 429])

const storesByDefault = ({ status }: HttpServerResponse.HttpServerResponse): boolean =>
  status >= 200 && status < 500 && !passing.has(status)

const wrong = (reason: string): never => {
  throw new IdempotencyOptionsError({ reason })
}

const headerName = (option: string, name: string): string =>
  /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name) ? name.toLowerCase() : wrong(`\`${option}\` is no name of a header: ${name}`)

const millis = (option: string, input: Duration.DurationInput): number => {
  const millis = Duration.toMillis(input)
  return millis > 0 && Number.isFinite(millis) ? Math.ceil(millis) : wrong(`\`${option}\` must be positive and finite`)
}

const whole = (option: string, n: number, min: number, max: number): number =>
  Number.isInteger(n) && n >= min && n <= max ? n : wrong(`\`${option}\` must be a whole number from ${min} to ${max}`)

/** @internal */
export const settingsOf = (options: IdempotencyOptions): Settings => {
  const {
    caller,
    documentation,
    fingerprint = "bytes",
    header = "idempotency-key",
    inFlight = "conflict",
    lease = "30 seconds",
    maxRequestBytes = 10 * 1024 * 1024,
    maxResponseBytes = 1024 * 1024,
    mode = "required",
    onStoreError = "refuse",
    replayHeader = "idempotency-replayed",
    replayStatus,
    retryAfter = "1 second",
    store,
    storeResponse = storesByDefault,
    ttl = "24 hours"
  } = options
  return {
    mode,
    header: headerName("header", header),
    // The type of the middleware has the services of these Effects.
    caller: caller as Settings["caller"],
    fingerprint: fingerprint as Settings["fingerprint"],
    store: store as Settings["store"],
    waitMillis: inFlight === "conflict" ? 0 : millis("inFlight.wait", inFlight.wait),
    inFlightStatus: inFlight === "conflict" ? 409 : inFlight.status ?? 409,
    retryAfterMillis: millis("retryAfter", retryAfter),
    replayStatus: replayStatus === undefined ? undefined : whole("replayStatus", replayStatus, 200, 599),
    replayHeader: replayHeader === false ? undefined : headerName("replayHeader", replayHeader),
    storesResponse: typeof storeResponse === "function"
      ? storeResponse
      : ({ status }) => storeResponse.includes(status),
    ttlMillis: millis("ttl", ttl),
    leaseMillis: millis("lease", lease),
    maxRequestBytes: whole("maxRequestBytes", maxRequestBytes, 0, Number.MAX_SAFE_INTEGER),
    maxResponseBytes: whole("maxResponseBytes", maxResponseBytes, 0, Number.MAX_SAFE_INTEGER),
    isOpen: onStoreError === "open",
    documentation
  }
}
