/**
 * Divides a batch between executors.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { DispatchError, type FlushFailure } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import { capabilitiesOf, type Executor, type Handlers, type Outcome } from "../contract/executor.js"
import { callExecutor, checkAnswer, reasonOf } from "../scope/dispatch.js"
import { groupBy } from "../support/groupBy.js"
import { fromFields } from "./make.js"

type Choose = (intent: Intent) => Executor

/** @internal */
export const route = (choose: Choose): Executor => {
  const forScope = (): Executor => {
    const { choose: chosen, close } = chooseForScope(choose)
    return { ...routeBy(chosen), close }
  }
  return { ...routeBy(choose), forScope }
}

const routeBy = (choose: Choose): Executor =>
  fromFields({
    name: "route",
    isDurable: (intent) => choose(intent).isDurable(intent),
    transactional: (intent) => choose(intent).transactional?.(intent),
    capabilities: (intent) => capabilitiesOf(choose(intent), intent),
    dispatch: dispatchBy(choose)
  })

/** An intent and its place in the batch. */
interface Placed {
  readonly intent: Intent
  readonly index: number
}

const dispatchBy = (choose: Choose): Executor["dispatch"] => (intents, handlers) =>
  Effect.suspend(() => {
    const outcomes: Array<Outcome> = []
    const placed = intents.flatMap((intent, index) => {
      try {
        return [{ intent, index, executor: choose(intent) }]
      } catch (cause) {
        outcomes[index] = Exit.fail(new DispatchError({ task: intent.task.name, cause }))
        return []
      }
    })
    const shares = [...groupBy(placed, ({ executor }) => executor)]
    // Durable executors come first, so that the others do not use up the time of the dispatch.
    const isDurable = ([, [first]]: [Executor, Array<Placed>]) => first!.intent.encoded !== undefined
    const durableFirst = shares.sort((a, b) => Number(isDurable(b)) - Number(isDurable(a)))
    const dispatched = Effect.forEach(durableFirst, ([executor, share]) => {
      const batch = share.map(({ intent }) => intent)
      return Effect.map(
        Effect.exit(Effect.suspend(() => callExecutor(executor, batch, handlers))),
        (ended) => {
          const exit = checkAnswer(executor, batch, ended)
          const outcomesOfShare = Exit.isSuccess(exit) ? exit.value : []
          share.forEach(({ index, intent }, position) => {
            outcomes[index] = outcomesOfShare[position] ?? Exit.fail(reasonOf(executor, intent, exit, undefined))
          })
        }
      )
    }, { discard: true })
    return Effect.as(dispatched, outcomes)
  })

/** The chosen executors for one scope, each with its own state for the scope. */
const chooseForScope = (choose: Choose) => {
  const ofScope = new Map<Executor, Executor>()
  return {
    choose: (intent: Intent): Executor => {
      const chosen = choose(intent)
      let executor = ofScope.get(chosen)
      if (executor === undefined) {
        executor = chosen.forScope?.() ?? chosen
        ofScope.set(chosen, executor)
      }
      return executor
    },
    /** Closes all executors at once. One that fails does not hide the failures of the others. */
    close: (handlers: Handlers): Effect.Effect<ReadonlyArray<FlushFailure>> =>
      Effect.gen(function*() {
        const exits = yield* Effect.forEach(
          ofScope.values(),
          (executor) => Effect.exit(Effect.suspend(() => executor.close?.(handlers) ?? Effect.succeed([]))),
          { concurrency: "unbounded" }
        )
        for (const { cause } of exits.filter(Exit.isFailure)) {
          yield* Effect.logError("An executor failed to report the outcomes of its intents", cause)
        }
        return exits.flatMap((exit) => Exit.isSuccess(exit) ? exit.value : [])
      })
  }
}
