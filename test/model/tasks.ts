import { Effect, Layer, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"

export const Count = Task.make("Count", { payload: { id: Schema.Number, fails: Schema.Boolean } })

/** An Airlock with a handler that records each intent, and then fails if the payload says so. */
export const counting = (left: Array<number>) =>
  Count.toLayer(({ fails, id }) =>
    Effect.suspend(() => {
      left.push(id)
      return fails ? Effect.fail("it was to fail") : Effect.void
    })
  ).pipe(Layer.provideMerge(Airlock.layer()))
