/** Compares enqueue and flush with the hand-written floor, in bulk and in scopes of three intents. */
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import * as Floor from "./floor.js"
import { report, rounds } from "./rounds.js"

const bulk = 100_000
const scopes = 5_000

const Count = Task.make("Count", { payload: { by: Schema.Number } })

let counted = 0
const count = ({ by }: { readonly by: number }) =>
  Effect.sync(() => {
    counted += by
  })

const times = <E, R>(n: number, effect: (i: number) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < n; i++) {
      yield* effect(i)
    }
  })

export const buffer: Effect.Effect<void> = Effect.gen(function*() {
  const runtime = ManagedRuntime.make(
    Count.toLayer(count).pipe(Layer.provideMerge(Airlock.layer({ maxIntents: bulk })))
  )
  const ours = <E>(program: Effect.Effect<unknown, E, Airlock.Airlock>) =>
    Effect.promise(() => runtime.runPromise(program))
  const floor = (program: Effect.Effect<unknown>) => Effect.promise(() => runtime.runPromise(program))
  const medians = yield* rounds({
    floorBulk: floor(Floor.scoped(times(bulk, (by) => Floor.enqueue(count, { by })))),
    oursBulk: ours(times(bulk, (by) => Airlock.enqueue(Count, { by })).pipe(Airlock.scoped)),
    floorScopes: floor(times(scopes, () => Floor.scoped(times(3, (by) => Floor.enqueue(count, { by }))))),
    oursScopes: ours(times(scopes, () => times(3, (by) => Airlock.enqueue(Count, { by })).pipe(Airlock.scoped)))
  }, { rounds: 15, warmup: 3 })
  if (counted !== 18 * 2 * (bulk * (bulk - 1) / 2 + scopes * 3)) {
    throw new Error(`not every intent was run: ${counted}`)
  }
  const micros = (millis: number, n: number) => (millis * 1000 / n).toFixed(2)
  report(
    "enqueue and flush of 100 000 intents, times the floor",
    medians.oursBulk! / medians.floorBulk!,
    "bar: at most 3"
  )
  report("scopes of 3 intents, times the floor", medians.oursScopes! / medians.floorScopes!, "no bar")
  process.stdout.write(
    `  (an intent: ${micros(medians.oursBulk!, bulk)} us, floor ${micros(medians.floorBulk!, bulk)} us; ` +
      `a scope of 3: ${micros(medians.oursScopes!, scopes)} us, floor ${micros(medians.floorScopes!, scopes)} us)\n`
  )
})
