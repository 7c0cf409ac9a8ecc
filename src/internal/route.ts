/**
 * Sharing a batch out between executors.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { DispatchError, type FlushFailure } from "../AirlockError.js"
import type { Executor, Handlers, Outcome } from "../Executor.js"
import type { Intent } from "../Intent.js"
import { reasonOf } from "./dispatch.js"

type Choose = (intent: Intent) => Executor

/** @internal */
export const dispatch = (choose: Choose): Executor["dispatch"] => (intents, handlers) =>
  Effect.suspend(() => {
    const outcomes: Array<Outcome> = []
    const shares = new Map<Executor, Array<number>>()
    intents.forEach((intent, index) => {
      try {
        const executor = choose(intent)
        const share = shares.get(executor)
        if (share === undefined) {
          shares.set(executor, [index])
        } else {
          share.push(index)
        }
      } catch (cause) {
        outcomes[index] = Exit.fail(new DispatchError({ task: intent.task.name, cause }))
      }
    })
    // Those that keep intents come first: what others are slow with must not cost them their time.
    const isKept = (indices: ReadonlyArray<number>) => !intents[indices[0]!]?.encoded
    const inTurn = [...shares].sort(([, a], [, b]) => Number(isKept(a)) - Number(isKept(b)))
    const dispatched = Effect.forEach(inTurn, ([executor, indices]) =>
      Effect.map(
        Effect.exit(Effect.suspend(() => executor.dispatch(indices.map((index) => intents[index]!), handlers))),
        (exit) => {
          const answers = Exit.isSuccess(exit) ? exit.value : []
          indices.forEach((index, at) => {
            outcomes[index] = answers[at] ?? Exit.fail(reasonOf(executor, intents[index]!, exit, undefined))
          })
        }
      ), { discard: true })
    return Effect.as(dispatched, outcomes)
  })

/** For one scope: the executors that it chooses, each with its own account of the scope. @internal */
export const forScope = (choose: Choose) => {
  const own = new Map<Executor, Executor>()
  return {
    choose: (intent: Intent): Executor => {
      const chosen = choose(intent)
      let executor = own.get(chosen)
      if (executor === undefined) {
        executor = chosen.forScope?.() ?? chosen
        own.set(chosen, executor)
      }
      return executor
    },
    close: (handlers: Handlers): Effect.Effect<ReadonlyArray<FlushFailure>> =>
      // All at once, and whatever one of them does the others are heard.
      Effect.flatMap(
        Effect.forEach(own.values(), (executor) =>
          Effect.exit(Effect.suspend(() => executor.close?.(handlers) ?? Effect.succeed([]))), {
          concurrency: "unbounded"
        }),
        (exits) =>
          Effect.as(
            Effect.forEach(
              exits.filter(Exit.isFailure),
              ({ cause }) =>
                Effect.logError("An executor could not say what became of its intents", cause),
              { discard: true }
            ),
            exits.flatMap((exit) =>
              Exit.isSuccess(exit) ? exit.value : []
            )
          )
      )
  }
}
