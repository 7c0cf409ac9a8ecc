/**
 * The tests that an executor passes, whatever engine is behind it. One call runs them on yours.
 *
 * @since 0.1.0
 */
import { describe } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { engineFaults } from "./suite/engineFaults.js"
import { type Engine, engineTestsOn, type Lack } from "./suite/engineTest.js"
import { engineWorkers } from "./suite/engineWorkers.js"
import { handOvers } from "./suite/handOvers.js"

export type { Engine, Lack } from "./suite/engineTest.js"

/**
 * The options of {@link run}.
 *
 * @since 0.1.0
 * @category testing
 */
export interface SuiteOptions {
  /** What the engine does not have. The tests of it are not defined. Default: it has all. */
  readonly without?: ReadonlyArray<Lack>
}

/**
 * Defines the tests of an executor, in vitest. `engine` makes the executor and an empty engine for each test. Each test has a time
 * limit of 30 seconds.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Executor } from "effect-airlock"
 * import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
 *
 * const engine = Effect.sync(() => ({ executor: Executor.inProcess() }))
 *
 * ExecutorSuite.run("in process", engine, { without: ["worker", "connection"] })
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const run = (
  name: string,
  engine: Effect.Effect<Engine, unknown, Scope.Scope>,
  { without = [] }: SuiteOptions = {}
): void => {
  const test = engineTestsOn(engine, without)
  describe(`the executor ${name}`, () => {
    const recognisesIds = !without.includes("recognition")
    handOvers(test, { recognisesIds })
    if (!without.includes("connection")) {
      engineFaults(test, { recognisesIds })
    }
    if (!without.includes("worker")) {
      engineWorkers(test)
    }
  })
}
