/**
 * The policies and the executors that `Airlock.layerConfig` chooses by name.
 *
 * @internal
 */
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Struct from "effect/Struct"
import * as Policy from "../../Policy.js"
import type { Executor, RunOptions } from "../contract/executor.js"
import { background } from "../executor/background.js"
import { drain } from "../executor/drain.js"
import { inProcess } from "../executor/make.js"
import { executorSettings, keyOf, type Settings } from "./settings.js"

const builtInPolicies: Readonly<Record<string, Policy.Policy>> = {
  allowAll: Policy.allowAll,
  dropAll: Policy.dropAll,
  assertNoEffects: Policy.assertNoEffects,
  logOnFlush: Policy.logOnFlush()
}

/** An executor that can be chosen, and the settings that it accepts. */
interface Choice<E, R> {
  readonly accepts: ReadonlyArray<keyof typeof executorSettings>
  readonly make: (settings: Settings) => Effect.Effect<Executor, E, R>
}

const runSettings = ["failFast", "concurrency", "taskTimeout"] as const

const runOptionsOf = ({ concurrency, failFast, taskTimeout }: Settings): RunOptions => ({
  ...(failFast !== undefined && { failFast }),
  ...(concurrency !== undefined && { concurrency }),
  ...(taskTimeout !== undefined && { timeout: taskTimeout })
})

const builtInExecutors: Readonly<Record<string, Choice<never, never>>> = {
  inProcess: { accepts: runSettings, make: (settings) => Effect.succeed(inProcess(runOptionsOf(settings))) },
  background: {
    accepts: [...runSettings, "capacity"],
    make: (settings) =>
      Effect.succeed(background({
        executor: inProcess(runOptionsOf(settings)),
        ...(settings.capacity !== undefined && { capacity: settings.capacity })
      }))
  },
  drain: {
    accepts: [...runSettings, "drainTimeout"],
    make: (settings) =>
      Effect.succeed(drain({
        run: runOptionsOf(settings),
        ...(settings.drainTimeout !== undefined && { timeout: settings.drainTimeout })
      }))
  }
}

/** @internal */
export const policyOf = (
  prefix: string,
  { allowTasks, blockTasks, policy }: Settings,
  others: Readonly<Record<string, Policy.Policy>>
): Effect.Effect<Policy.Policy | undefined, ConfigError.ConfigError> => {
  // Plans and the configuration show a policy by the name that it is configured by.
  const known = { ...builtInPolicies, ...Record.map(others, (policy, name) => ({ ...policy, name })) }
  return Effect.map(
    Effect.forEach(policy ?? [], (name) => lookUp([prefix, keyOf("policy")], "a policy", name, known)),
    (named) => {
      // The policies that choose tasks come first: an intent that they drop must not count in a limit, or be logged.
      const policies = [
        ...(allowTasks === undefined ? [] : [Policy.allowTasks(allowTasks)]),
        ...(blockTasks === undefined ? [] : [Policy.blockTasks(blockTasks)]),
        ...named
      ]
      return policies.length > 1 ? Policy.all(...policies) : policies[0]
    }
  )
}

/** @internal */
export const executorOf = <E, R>(
  prefix: string,
  settings: Settings,
  others: Readonly<Record<string, Executor | Effect.Effect<Executor, E, R>>>
): Effect.Effect<Executor | undefined, ConfigError.ConfigError | E, R> =>
  Effect.gen(function*() {
    const known: Readonly<Record<string, Choice<E, R>>> = {
      ...builtInExecutors,
      ...Record.map(others, (executor): Choice<E, R> => ({
        accepts: [],
        make: () => Effect.isEffect(executor) ? executor : Effect.succeed(executor)
      }))
    }
    const chosen = settings.executor === undefined
      ? undefined
      : yield* lookUp([prefix, keyOf("executor")], "an executor", settings.executor, known)
    for (const name of Struct.keys(executorSettings)) {
      if (settings[name] !== undefined && !chosen?.accepts.includes(name)) {
        const accepting = Object.keys(Record.filter(known, ({ accepts }) => accepts.includes(name)))
        const message = `Expected ${prefix}_${keyOf("executor")} to be ${accepting.join(" or ")}, because ${
          keyOf(name)
        } is a setting of these executors`
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
