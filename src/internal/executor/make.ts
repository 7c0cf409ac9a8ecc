/**
 * The constructors of executors.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { pipeArguments } from "effect/Pipeable"
import * as Struct from "effect/Struct"
import { type Capability, type Executor, type RunOptions, TypeId } from "../contract/executor.js"
import { callExecutor } from "../scope/dispatch.js"

/** Copied into each executor, so that a spread of an executor is an executor too. */
const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
} as const

/** Adds the members that all executors share. @internal */
export const fromFields = (fields: Omit<Executor, typeof TypeId | "pipe">): Executor => ({ ...Proto, ...fields })

/** This process has one queue, and no engine with options of its own. */
const capabilities: ReadonlyArray<Capability> = ["queue", "orderingKey", "maxAttempts", "native"]

/** An executor that runs handlers in this process, or passes intents to such an executor. @internal */
export const inThisProcess = (
  name: string,
  options: Readonly<Record<string, unknown>>,
  dispatch: Executor["dispatch"]
): Executor => fromFields({ name, options, durable: false, isDurable: () => false, capabilities, dispatch })

/** @internal */
export const inProcess = (options?: RunOptions): Executor =>
  inThisProcess("inProcess", shownOptions(options), (intents, handlers) => handlers.run(intents, options))

/** The options as `Airlock.configuration` shows them, without the retry schedule and the executor. @internal */
export const shownOptions = ({ concurrency, failFast, timeout }: RunOptions = {}) => ({
  concurrency: concurrency ?? 1,
  failFast: failFast === true,
  timeout: timeout === undefined ? "unlimited" : Duration.format(timeout)
})

/** An executor whose `dispatch` may be interrupted anywhere. @internal */
export const make = ({ capabilities = [], dispatch, durable, name }: {
  readonly name: string
  readonly durable?: boolean
  readonly capabilities?: Executor["capabilities"]
  readonly dispatch: Executor["dispatch"]
}): Executor =>
  fromFields({
    name,
    durable: durable === true,
    isDurable: () => durable === true,
    capabilities,
    dispatch: (intents, handlers) => Effect.interruptible(callExecutor({ name, dispatch }, intents, handlers))
  })

/**
 * Changes how an executor dispatches. The result keeps no state for a scope, because a combinator needs the outcomes of each
 * batch at once.
 *
 * @internal
 */
export const withDispatch = (
  self: Executor,
  change: (dispatch: Executor["dispatch"]) => Executor["dispatch"]
): Executor => ({ ...Struct.omit(self, "close", "forScope"), dispatch: change(self.dispatch) })
