/**
 * Tasks without handlers, for tests that bring their own: `Step` and `Index` carry a text, `Work` and `Next` a number.
 */
import { Effect, Layer, Schema } from "effect"
import { Airlock, Executor, type Intent, Task } from "effect-airlock"

export const Step = Task.make("Step", { payload: { text: Schema.String } })
export const Index = Task.make("Index", { payload: { text: Schema.String } })
export const Work = Task.make("Work", { payload: { n: Schema.Number } })
export const Next = Task.make("Next", { payload: { n: Schema.Number } })

export const step = (text: string, options?: Intent.EnqueueOptions) => Airlock.enqueue(Step, { text }, options)
export const index = (text: string, options?: Intent.EnqueueOptions) => Airlock.enqueue(Index, { text }, options)
export const work = (n: number) => Airlock.enqueue(Work, { n })
export const next = (n: number) => Airlock.enqueue(Next, { n })

/** Runs a program with these handlers, which run in the process. */
export const withHandlers = (
  handlers: Layer.Layer<never, never, Airlock.Airlock>,
  options: Executor.RunOptions = {}
) => Effect.provide(handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.inProcess(options) }))))
