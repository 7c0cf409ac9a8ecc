/**
 * Configuration by name: what `Airlock.layerConfig` reads from Effect's `Config`, and what holds in the end, as data.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import type * as EffectScope from "effect/Scope"
import * as Struct from "effect/Struct"
import type { AirlockOptions } from "../Airlock.js"
import * as Executor from "../Executor.js"
import * as Policy from "../Policy.js"
import type { AirlockService } from "./airlock.js"

// ---------------------------------------------------------------- the keys: one line for each

const count = Config.validate(Config.integer(), {
  message: "Expected a whole number above 0",
  validation: (n) => n > 0
})

const time = Config.validate(Config.duration(), {
  message: "Expected a duration above 0, such as \"5 seconds\"",
  validation: (duration) => Duration.toMillis(duration) > 0
})

/** A provider that knows lists gives them as such, and leaves the commas of a text to whoever reads it. */
const names = Config.mapOrFail(Config.array(Config.string()), (items) => {
  const all = items.flatMap((item) => item.split(",")).map((name) => name.trim())
  return all.every((name) => name !== "")
    ? Either.right(all)
    : Either.left(ConfigError.InvalidData([], "Expected names with a comma between them"))
})

const ofLimits = {
  maxIntents: count,
  maxPayloadBytes: count,
  maxCascade: count,
  policyTimeout: time,
  approveTimeout: time,
  dispatchTimeout: time,
  shutdownTimeout: time
} satisfies { readonly [Name in keyof OfAirlock]-?: Config.Config<NonNullable<OfAirlock[Name]>> }

type OfAirlock = Omit<AirlockOptions, "policy" | "executor">

const ofExecutors = {
  failFast: Config.boolean(),
  concurrency: Config.orElse(Config.literal("unbounded")(), () => count),
  taskTimeout: time,
  capacity: count,
  drainTimeout: time
}

const settings = {
  executor: Config.string(),
  policy: names,
  allowTasks: names,
  blockTasks: names,
  ...ofExecutors,
  ...ofLimits
}

type Settings = { readonly [Name in keyof typeof settings]?: Config.Config.Success<(typeof settings)[Name]> }

/** `maxIntents` is read from `MAX_INTENTS`. */
const keyOf = (setting: string): string => setting.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()

/** @internal */
export const keys: ReadonlyArray<string> = Object.keys(settings).map(keyOf)

// ---------------------------------------------------------------- the names

const builtInPolicies: Readonly<Record<string, Policy.Policy>> = {
  allowAll: Policy.allowAll,
  dropAll: Policy.dropAll,
  assertNoEffects: Policy.assertNoEffects,
  logOnFlush: Policy.logOnFlush()
}

/** An executor, and which settings it takes. */
interface Choice<E, R> {
  readonly takes: ReadonlyArray<keyof typeof ofExecutors>
  readonly make: (settings: Settings) => Effect.Effect<Executor.Executor, E, R>
}

const ofRun = ["failFast", "concurrency", "taskTimeout"] as const

const runOf = ({ concurrency, failFast, taskTimeout }: Settings): Executor.RunOptions => ({
  ...(failFast !== undefined && { failFast }),
  ...(concurrency !== undefined && { concurrency }),
  ...(taskTimeout !== undefined && { timeout: taskTimeout })
})

const builtInExecutors: Readonly<Record<string, Choice<never, EffectScope.Scope>>> = {
  inProcess: { takes: ofRun, make: (settings) => Effect.succeed(Executor.inProcess(runOf(settings))) },
  background: {
    takes: [...ofRun, "capacity"],
    make: (settings) =>
      Effect.succeed(Executor.background({
        executor: Executor.inProcess(runOf(settings)),
        ...(settings.capacity !== undefined && { capacity: settings.capacity })
      }))
  },
  drain: {
    takes: [...ofRun, "drainTimeout"],
    make: (settings) =>
      Effect.succeed(Executor.drain({
        run: runOf(settings),
        ...(settings.drainTimeout !== undefined && { timeout: settings.drainTimeout })
      }))
  }
}

// ---------------------------------------------------------------- reading them

/** @internal */
export interface ConfigOptions<E, R> {
  readonly prefix?: string
  readonly policies?: Readonly<Record<string, Policy.Policy>>
  readonly executors?: Readonly<Record<string, Executor.Executor | Effect.Effect<Executor.Executor, E, R>>>
}

/** @internal */
export const read = <E, R>({
  executors = {},
  policies = {},
  prefix = "AIRLOCK"
}: ConfigOptions<E, R>): Effect.Effect<AirlockOptions, ConfigError.ConfigError | E, R | EffectScope.Scope> =>
  Effect.gen(function*() {
    const settings = yield* load(prefix)
    yield* refuseUnknown(prefix, settings)
    const policy = yield* policyOf(prefix, settings, { ...builtInPolicies, ...policies })
    const executor = yield* executorOf<E, R | EffectScope.Scope>(prefix, settings, {
      ...builtInExecutors,
      ...Record.map(executors, (executor): Choice<E, R> => ({
        takes: [],
        make: () => Effect.isEffect(executor) ? executor : Effect.succeed(executor)
      }))
    })
    return {
      ...Struct.pick(settings, ...Struct.keys(ofLimits)),
      ...(policy !== undefined && { policy }),
      ...(executor !== undefined && { executor })
    }
  })

/** The settings that are given: all of those that cannot be read are named at once. */
const load = (prefix: string): Effect.Effect<Settings, ConfigError.ConfigError> => {
  const optional = Record.map(
    settings,
    (config: Config.Config<unknown>, name) => Config.option(Config.nested(config, keyOf(name)))
  )
  // Each name has the value of its own Config.
  return Effect.map(Config.nested(Config.all(optional), prefix), (read) => Record.getSomes(read) as Settings)
}

const policyOf = (
  prefix: string,
  { allowTasks, blockTasks, policy }: Settings,
  known: Readonly<Record<string, Policy.Policy>>
): Effect.Effect<Policy.Policy | undefined, ConfigError.ConfigError> =>
  Effect.map(
    Effect.forEach(policy ?? [], (name) => lookUp([prefix, keyOf("policy")], "a policy", name, known)),
    (named) => {
      // First those that pick tasks: what they keep back is not to count in a limit, or to be logged as leaving.
      const policies = [
        ...(allowTasks === undefined ? [] : [showing(Policy.allowTasks(allowTasks), allowTasks)]),
        ...(blockTasks === undefined ? [] : [showing(Policy.blockTasks(blockTasks), blockTasks)]),
        ...named
      ]
      return policies.length > 1 ? Policy.all(...policies) : policies[0]
    }
  )

/** Plans and the configuration show a policy by its name. */
const showing = (policy: Policy.Policy, tasks: ReadonlyArray<string>): Policy.Policy => ({
  ...policy,
  name: `${policy.name}(${tasks.join(", ")})`
})

const executorOf = Effect.fnUntraced(function*<E, R>(
  prefix: string,
  settings: Settings,
  known: Readonly<Record<string, Choice<E, R>>>
) {
  const { executor } = settings
  const chosen = executor === undefined
    ? undefined
    : yield* lookUp([prefix, keyOf("executor")], "an executor", executor, known)
  for (const name of Struct.keys(ofExecutors)) {
    if (settings[name] !== undefined && !chosen?.takes.includes(name)) {
      const takers = Object.keys(Record.filter(known, ({ takes }) => takes.includes(name)))
      const message = `Expected ${prefix}_${keyOf("executor")} to be ${takers.join(" or ")}, which ${
        keyOf(name)
      } is for`
      return yield* Effect.fail(ConfigError.InvalidData([prefix, keyOf(name)], message))
    }
  }
  return chosen && (yield* chosen.make(settings))
})

const lookUp = <A>(
  path: Array<string>,
  what: string,
  name: string,
  known: Readonly<Record<string, A>>
): Effect.Effect<A, ConfigError.ConfigError> =>
  Option.match(Record.get(known, name), {
    onNone: () => {
      const names = Object.keys(known).sort().join(", ")
      const message = `Expected the name of ${what}, one of ${names}, but received ${JSON.stringify(name)}`
      return Effect.fail(ConfigError.InvalidData(path, message))
    },
    onSome: Effect.succeed
  })

// ---------------------------------------------------------------- keys that nobody knows

/**
 * Refuses what stands under the prefix and was not read: a misspelt limit must not be the default in silence. Their values
 * are not shown, for they may be anything.
 */
const refuseUnknown = (prefix: string, given: Settings): Effect.Effect<void, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    const provider = yield* Effect.configProviderWith(Effect.succeed)
    const nameOf = (key: string) => nameIn(provider, Config.nested(Config.string(key), prefix))
    const readAs = new Set(yield* Effect.forEach(Object.keys(given).map(keyOf), nameOf))
    const base = yield* nameIn(provider, Config.string(prefix))
    const unknown = (yield* pathsUnder(provider, base, [])).filter((path) => !readAs.has(asName(path)))
    if (unknown.length > 0) {
      const message = `Expected one of these keys, written like this: ${keys.join(", ")}`
      return yield* Effect.fail(
        unknown.map((path) => ConfigError.InvalidData([...path], message)).reduce(ConfigError.And)
      )
    }
  })

/**
 * How a key is called where the provider looks: it may nest it, or write it otherwise. A provider that answers with the
 * path that it is asked for says so, by Effect's own rules.
 */
const nameIn = (provider: ConfigProvider.ConfigProvider, key: Config.Config<string>) =>
  ConfigProvider.fromFlat(ConfigProvider.makeFlat({
    ...provider.flattened,
    load: (path, primitive) => Effect.map(primitive.parse(asName(path)), (name) => [name])
  })).load(key)

/** Providers cut a name at different places, the one of the environment at each `_`; case is put right by what was read. */
const asName = (path: ReadonlyArray<string>): string =>
  path.filter((part) => !isIndex(part)).join("_").replaceAll(/[^A-Za-z0-9]+/g, "_").toUpperCase()

const isIndex = (part: string): boolean => /^\[\d+\]$/.test(part)

/** The paths of all values whose name begins as `base` does, and goes on. */
const pathsUnder = (
  provider: ConfigProvider.ConfigProvider,
  base: string,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<ReadonlyArray<string>>, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    const children = [...(yield* provider.flattened.enumerateChildren(path))].filter((part) => !isIndex(part)).sort()
    const found: Array<ReadonlyArray<string>> = []
    for (const child of children) {
      const at = [...path, child]
      const name = asName(at)
      if (base === name || base.startsWith(`${name}_`) || name.startsWith(`${base}_`)) {
        found.push(...yield* pathsUnder(provider, base, at))
      }
    }
    const isUnder = asName(path).startsWith(`${base}_`)
    return isUnder && (children.length === 0 || (yield* hasValue(provider, path))) ? [path, ...found] : found
  })

const hasValue = ({ flattened }: ConfigProvider.ConfigProvider, path: ReadonlyArray<string>) => {
  const unpatched = ConfigProvider.fromFlat(ConfigProvider.makeFlat({ ...flattened, patch: { _tag: "Empty" } }))
  const value = path.reduceRight((config, part) => Config.nested(config, part), Config.string())
  return Effect.isSuccess(unpatched.load(value))
}

// ---------------------------------------------------------------- what holds

/**
 * What holds for all scopes of an application, as data that can be logged: names instead of code, durations as people
 * read them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Configuration {
  readonly executor: string
  /** What the executor was made with, as far as it says. */
  readonly executorOptions: Readonly<Record<string, unknown>>
  readonly policy: string
  readonly maxIntents: number
  readonly maxPayloadBytes: number | "unlimited"
  readonly maxCascade: number
  readonly policyTimeout: string
  readonly approveTimeout: string
  readonly dispatchTimeout: string
  readonly shutdownTimeout: string
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
  shutdownTimeout: Duration.format(airlock.shutdownTimeout)
})
