/**
 * The limits of a scope. Their types, their defaults and their configuration keys derive from the one record in this file.
 */
import * as Duration from "effect/Duration"

/**
 * The limits of a scope. `Airlock.layer` takes limits for all scopes, and the options of a scope override them for that
 * scope.
 *
 * @since 0.1.0
 * @category options
 */
export interface Limits {
  /**
   * The maximum size of a payload in bytes, encoded by its Schema as JSON in UTF-8. A larger payload is a
   * `PayloadTooLargeError`. Default: no limit, and payloads are not measured, because measuring means encoding.
   */
  readonly maxPayloadBytes?: number
  /**
   * The maximum depth of handlers that enqueue tasks whose handlers enqueue tasks, and so on. A deeper enqueue is a
   * `CascadeTooDeepError`. Default: 100.
   */
  readonly maxCascade?: number
  /**
   * The maximum number of intents that a scope holds, captured ones included. One more is a `BufferFullError`.
   * Default: 10 000.
   */
  readonly maxIntents?: number
  /**
   * The time that policies may take to decide about a scope's intents, or about one enqueue. After that they fail with a
   * `SettleTimeoutError`. Default: 5 seconds.
   */
  readonly policyTimeout?: Duration.DurationInput
  /** The time that the approval of a plan may take. After that no intent leaves. Default: 5 minutes. */
  readonly approveTimeout?: Duration.DurationInput
  /**
   * The time that the executor may take for a scope's intents. After that it is interrupted, and the intents that were not
   * dispatched fail with a `SettleTimeoutError`. Default: 60 seconds.
   */
  readonly dispatchTimeout?: Duration.DurationInput
}

interface Limit<A, Input> {
  readonly kind: "count" | "time"
  readonly default: A
  readonly decode: (input: Input) => A
}

const count = (value: number): Limit<number, number> => ({ kind: "count", default: value, decode: (input) => input })

const time = (value: Duration.DurationInput): Limit<Duration.Duration, Duration.DurationInput> => ({
  kind: "time",
  default: Duration.decode(value),
  decode: Duration.decode
})

/** @internal */
export const limits = {
  maxIntents: count(10_000),
  maxPayloadBytes: count(Infinity),
  maxCascade: count(100),
  policyTimeout: time("5 seconds"),
  approveTimeout: time("5 minutes"),
  dispatchTimeout: time("60 seconds")
} satisfies { readonly [Name in keyof Limits]-?: Limit<any, NonNullable<Limits[Name]>> }

type Name = keyof typeof limits

/**
 * Every limit, with a value.
 *
 * @since 0.1.0
 * @category models
 */
export type ResolvedLimits = {
  readonly [Name in keyof Limits]-?: NonNullable<Limits[Name]> extends number ? number : Duration.Duration
}

/** @internal */
export const limitNames = Object.keys(limits) as ReadonlyArray<Name>

/** A value for each limit. The value and the limit under a name have the same type. */
const mapLimits = (f: (limit: Limit<unknown, unknown>, name: Name) => unknown): ResolvedLimits =>
  Object.fromEntries(
    limitNames.map((name) => [name, f(limits[name] as Limit<unknown, unknown>, name)])
  ) as unknown as ResolvedLimits

/** @internal */
export const defaultLimits = mapLimits((limit) => limit.default)

/**
 * The limits of the options, and of `base` where the options set none. If they set none at all, it is `base` itself.
 *
 * @internal
 */
export const resolveLimits = (options: Limits, base: ResolvedLimits): ResolvedLimits =>
  limitNames.every((name) => options[name] === undefined)
    ? base
    : mapLimits(({ decode }, name) => options[name] === undefined ? base[name] : decode(options[name]))
