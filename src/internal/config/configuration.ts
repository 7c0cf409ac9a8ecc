/**
 * The settings that apply to all scopes of an application: read from Effect's `Config`, or shown as data.
 *
 * @internal
 */
import type * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Struct from "effect/Struct"
import type * as Policy from "../../Policy.js"
import type { AirlockService, UnsupportedOptions } from "../contract/airlock.js"
import type { Executor } from "../contract/executor.js"
import { limitNames, type Limits } from "../contract/limits.js"
import { executorOf, policyOf } from "./byName.js"
import { keyOf, load } from "./settings.js"
import { refuseUnknownKeys } from "./unknownKeys.js"

/** @internal */
export interface ConfigOptions<E, R> {
  readonly prefix?: string
  readonly policies?: Readonly<Record<string, Policy.Policy>>
  readonly executors?: Readonly<Record<string, Executor | Effect.Effect<Executor, E, R>>>
}

/** @internal */
export interface ConfiguredOptions extends Limits {
  readonly policy?: Policy.Policy
  readonly executor?: Executor
  readonly shutdownTimeout?: Duration.DurationInput
  readonly unsupportedOptions?: UnsupportedOptions
}

/** The options of `Airlock.layer`, read from Effect's `Config`. @internal */
export const read = <E, R>(
  { executors = {}, policies = {}, prefix = "AIRLOCK" }: ConfigOptions<E, R>
): Effect.Effect<ConfiguredOptions, ConfigError.ConfigError | E, R> =>
  Effect.gen(function*() {
    const settings = yield* load(prefix)
    yield* refuseUnknownKeys(prefix, Object.keys(settings).map(keyOf))
    const policy = yield* policyOf(prefix, settings, policies)
    const executor = yield* executorOf(prefix, settings, executors)
    return {
      ...Struct.pick(settings, "shutdownTimeout", "unsupportedOptions", ...limitNames),
      ...(policy !== undefined && { policy }),
      ...(executor !== undefined && { executor })
    }
  })

/**
 * The settings that apply to all scopes of an application, as data that can be logged: policies and executors by their names,
 * and durations as text (`30s`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Configuration {
  /** The name of the executor. */
  readonly executor: string
  /** The options of the executor, or `{}` if it does not show them. */
  readonly executorOptions: Readonly<Record<string, unknown>>
  /** The name of the policy. */
  readonly policy: string
  readonly maxIntents: number
  readonly maxPayloadBytes: number | "unlimited"
  readonly maxCascade: number
  readonly policyTimeout: string
  readonly approveTimeout: string
  readonly dispatchTimeout: string
  readonly shutdownTimeout: string
  readonly unsupportedOptions: UnsupportedOptions
}

/** @internal */
export const configurationOf = (airlock: AirlockService): Configuration => ({
  executor: airlock.executor.name,
  executorOptions: airlock.executor.options ?? {},
  policy: airlock.policy.name,
  maxIntents: airlock.maxIntents,
  maxPayloadBytes: airlock.maxPayloadBytes === Infinity ? "unlimited" : airlock.maxPayloadBytes,
  maxCascade: airlock.maxCascade,
  policyTimeout: Duration.format(airlock.policyTimeout),
  approveTimeout: Duration.format(airlock.approveTimeout),
  dispatchTimeout: Duration.format(airlock.dispatchTimeout),
  shutdownTimeout: Duration.format(airlock.shutdownTimeout),
  unsupportedOptions: airlock.unsupportedOptions
})
