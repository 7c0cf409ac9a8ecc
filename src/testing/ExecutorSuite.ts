/**
 * The tests that an executor passes, whatever engine is behind it. One call runs them on yours.
 *
 * @since 0.1.0
 */
import { describe } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { engineFaults } from "./suite/engineFaults.js"
import { type Engine, engineTestsOn } from "./suite/engineTest.js"
import { engineWorkers } from "./suite/engineWorkers.js"
import { handOvers } from "./suite/handOvers.js"

export type { Engine } from "./suite/engineTest.js"

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
 * ExecutorSuite.run("in process", Effect.sync(() => ({ executor: Executor.inProcess() })))
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const run = (name: string, engine: Effect.Effect<Engine, unknown, Scope.Scope>): void => {
  const test = engineTestsOn(engine)
  describe(`the executor ${name}`, () => {
    handOvers(test)
    engineFaults(test)
    engineWorkers(test)
  })
}
