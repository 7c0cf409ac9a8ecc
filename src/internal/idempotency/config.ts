/**
 * Reads the options and the name of the store from Effect's `Config`.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Record from "effect/Record"
import { keyOf } from "../config/settings.js"
import { refuseUnknownKeys } from "../config/unknownKeys.js"
import { type IdempotencyOptions, settingsOf } from "./options.js"

const count = Config.validate(Config.integer(), {
  message: "Expected a whole number, 0 or more",
  validation: (n) => n >= 0
})

const time = Config.validate(Config.duration(), {
  message: "Expected a duration above 0, such as \"5 seconds\"",
  validation: (duration) => Duration.toMillis(duration) > 0
})

const statuses = Config.mapOrFail(Config.array(Config.string()), (items) => {
  const numbers = items.flatMap((item) => item.split(",")).map(Number)
  return numbers.every((status) => Number.isInteger(status) && status >= 100 && status < 600)
    ? Either.right(numbers)
    : Either.left(ConfigError.InvalidData([], "Expected statuses with a comma between them, such as 200,201"))
})

const settings = {
  store: Config.string(),
  mode: Config.literal("required", "optional", "exempt", "manual")(),
  header: Config.string(),
  caller: Config.string(),
  fingerprint: Config.string(),
  inFlight: Config.literal("conflict", "wait")(),
  inFlightWait: time,
  inFlightStatus: Config.literal("409", "423")(),
  retryAfter: time,
  replayStatus: count,
  replayHeader: Config.string(),
  storeStatuses: statuses,
  ttl: time,
  lease: time,
  maxRequestBytes: count,
  maxResponseBytes: count,
  onStoreError: Config.literal("refuse", "open")(),
  documentation: Config.string()
}

/** The values of the settings that the configuration has. */
type Settings = { readonly [Name in keyof typeof settings]?: Config.Config.Success<(typeof settings)[Name]> }

/** The keys of all settings, without the prefix. @internal */
export const configKeys: ReadonlyArray<string> = Object.keys(settings).map(keyOf)

/** @internal */
export interface Named {
  readonly prefix: string
  readonly callers: Readonly<Record<string, NonNullable<IdempotencyOptions["caller"]>>>
  readonly fingerprints: Readonly<Record<string, NonNullable<IdempotencyOptions["fingerprint"]>>>
  readonly stores: ReadonlyArray<string>
}

/** @internal */
export const readOptions = (
  { callers, fingerprints, prefix, stores }: Named
): Effect.Effect<{ readonly store: string, readonly options: IdempotencyOptions }, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    const optional = Record.map(
      settings,
      (config: Config.Config<unknown>, name) => Config.option(Config.nested(config, keyOf(name)))
    )
    // Each name has the value of its own Config.
    const read = Record.getSomes(yield* Config.nested(Config.all(optional), prefix)) as Settings
    yield* refuseUnknownKeys(prefix, Object.keys(read).map(keyOf))
    const { caller, fingerprint, inFlight, inFlightStatus, inFlightWait, store = "memory", storeStatuses, ...same } =
      read
    if (!stores.includes(store)) {
      return yield* unknownName(prefix, "store", store, stores)
    }
    if (
      (inFlight === "wait") !== (inFlightWait !== undefined) || (inFlightStatus !== undefined && inFlight !== "wait")
    ) {
      return yield* Effect.fail(ConfigError.InvalidData(
        [prefix, keyOf("inFlight")],
        `Expected ${keyOf("inFlight")}=wait and ${keyOf("inFlightWait")} together, and ${
          keyOf("inFlightStatus")
        } only with them`
      ))
    }
    const options: IdempotencyOptions = {
      ...same,
      ...(caller !== undefined && { caller: yield* named(prefix, "caller", caller, callers) }),
      ...(fingerprint !== undefined && {
        fingerprint: yield* named(prefix, "fingerprint", fingerprint, {
          bytes: "bytes" as const,
          json: "json" as const,
          ...fingerprints
        })
      }),
      ...(storeStatuses !== undefined && { storeResponse: storeStatuses }),
      ...(inFlightWait !== undefined && {
        inFlight: {
          wait: inFlightWait,
          ...(inFlightStatus !== undefined && { status: inFlightStatus === "423" ? 423 as const : 409 as const })
        }
      })
    }
    yield* Effect.try({
      try: () => settingsOf(options),
      catch: (error) => ConfigError.InvalidData([prefix], error instanceof Error ? error.message : String(error))
    })
    return { store, options }
  })

const named = <A>(
  prefix: string,
  setting: string,
  name: string,
  known: Readonly<Record<string, A>>
): Effect.Effect<A, ConfigError.ConfigError> => {
  const found = Object.hasOwn(known, name) ? known[name] : undefined
  return found === undefined ? unknownName(prefix, setting, name, Object.keys(known)) : Effect.succeed(found)
}

const unknownName = (prefix: string, setting: string, name: string, known: ReadonlyArray<string>) =>
  Effect.fail(ConfigError.InvalidData(
    [prefix, keyOf(setting)],
    `Expected ${
      known.length === 0 ? "no name, for none is given" : `one of ${[...known].sort().join(", ")}`
    }, but received ${JSON.stringify(name)}`
  ))
