import { Effect, Layer, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"

export const Count = Task.make("Count", { payload: { id: Schema.Number, fails: Schema.Boolean } })

/** An Airlock whose handler writes down what left, and then fails where it is to. */
export const counting = (left: Array<number>) =>
  Count.toLayer(({ fails, id }) =>
    Effect.suspend(() => {
      left.push(id)
      return fails ? Effect.fail("it was to fail") : Effect.void
    })
  ).pipe(Layer.provideMerge(Airlock.layer()))
