/**
 * A task whose handler records what left.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"

export const Note = Task.make("Note", { payload: { text: Schema.String } })

/** The texts of the intents that left, in order. */
export class Left extends Context.Tag("test/Left")<Left, Array<string>>() {}

export const left = Effect.map(Left, (texts) => [...texts])

/** The handler fails for a text that starts with `fail`, dies for `die`, and never ends for `hang`. */
const NoteLive = Layer.unwrapEffect(Effect.map(Left, (texts) =>
  Note.toLayer(({ text }) =>
    text.startsWith("fail")
      ? Effect.fail(new Error(text))
      : text.startsWith("die")
      ? Effect.die(new Error(text))
      : text.startsWith("hang")
      ? Effect.never
      : Effect.sync(() => {
        texts.push(text)
      })
  )))

export const layer = <R = never>(
  options?: Airlock.AirlockOptions<R>
): Layer.Layer<Airlock.Airlock | Left, never, NoInfer<R>> =>
  NoteLive.pipe(
    Layer.provideMerge(Layer.sync(Left, () => [])),
    Layer.provideMerge(Airlock.layer(options))
  )

export const note = (text: string) => Airlock.enqueue(Note, { text })
