/**
 * The settings that `Airlock.layerConfig` reads: one line for each key.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Record from "effect/Record"
import { limitNames, type Limits, limits } from "../contract/limits.js"

const count = Config.validate(Config.integer(), {
  message: "Expected a whole number above 0",
  validation: (n) => n > 0
})

const time = Config.validate(Config.duration(), {
  message: "Expected a duration above 0, such as \"5 seconds\"",
  validation: (duration) => Duration.toMillis(duration) > 0
})

/** The names may arrive as a list, or as one text with commas between them. */
const names = Config.mapOrFail(Config.array(Config.string()), (items) => {
  const all = items.flatMap((item) => item.split(",")).map((name) => name.trim())
  return all.every((name) => name !== "")
    ? Either.right(all)
    : Either.left(ConfigError.InvalidData([], "Expected names with a comma between them"))
})

/** The settings that only some executors accept. @internal */
export const executorSettings = {
  failFast: Config.boolean(),
  concurrency: Config.orElse(Config.literal("unbounded")(), () => count),
  taskTimeout: time,
  capacity: count,
  drainTimeout: time
}

const named = {
  executor: Config.string(),
  policy: names,
  allowTasks: names,
  blockTasks: names,
  unsupportedOptions: Config.literal("refuse", "ignore")(),
  ...executorSettings
}

const limitSettings = Object.fromEntries(
  limitNames.map((name): [string, Config.Config<unknown>] => [name, limits[name].kind === "count" ? count : time])
)

const settings: Readonly<Record<string, Config.Config<unknown>>> = { ...named, ...limitSettings, shutdownTimeout: time }

/** The values of the settings that the configuration has. @internal */
export type Settings =
  & { readonly [Name in keyof typeof named]?: Config.Config.Success<(typeof named)[Name]> }
  & Limits
  & { readonly shutdownTimeout?: Duration.Duration }

/** The key of a setting, without the prefix: that of `maxIntents` is `MAX_INTENTS`. @internal */
export const keyOf = (setting: string): string => setting.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()

/** The keys of all settings, without the prefix. @internal */
export const keys: ReadonlyArray<string> = Object.keys(settings).map(keyOf)

/** Reads the settings. The error names every value that cannot be read. @internal */
export const load = (prefix: string): Effect.Effect<Settings, ConfigError.ConfigError> => {
  const optional = Record.map(settings, (config, name) => Config.option(Config.nested(config, keyOf(name))))
  // Each name has the value of its own Config.
  return Effect.map(Config.nested(Config.all(optional), prefix), (read) => Record.getSomes(read) as Settings)
}
