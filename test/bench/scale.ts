/** Time, memory and event loop of enqueue and flush, under policies and for growing numbers of intents. */
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import { Airlock, Policy, Task } from "effect-airlock"
import * as Floor from "./floor.js"
import { report, rounds } from "./rounds.js"

const Count = Task.make("Count", { payload: { by: Schema.Number } })

const noop = () => Effect.void

const times = <E, R>(n: number, effect: (i: number) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < n; i++) {
      yield* effect(i)
    }
  })

const enqueues = (n: number) => times(n, (by) => Airlock.enqueue(Count, { by }))

const bytesHeld = (n: number) =>
  Effect.gen(function*() {
    const payload = { by: 1 }
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    yield* times(n, () => Airlock.enqueue(Count, payload))
    globalThis.gc?.()
    return (process.memoryUsage().heapUsed - before) / n
  }).pipe(Airlock.scoped({ policy: Policy.dropAll }))

/** The longest time in milliseconds for which no timer could run. */
const longestDelay = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    // Collects the garbage of earlier rounds first.
    globalThis.gc?.()
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
    }, 1)
    yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    longest = 0
    yield* self
    yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
    clearInterval(timer)
    return longest
  })

export const scale: Effect.Effect<void> = Effect.gen(function*() {
  const runtime = ManagedRuntime.make(
    Count.toLayer(noop).pipe(Layer.provideMerge(Airlock.layer({ maxIntents: 2_000_000 })))
  )
  const ours = <A, E>(program: Effect.Effect<A, E, Airlock.Airlock>) =>
    Effect.promise(() => runtime.runPromise(program))
  const three = Policy.all(Policy.blockTasks(["Other"]), Policy.allowTasks([Count]), Policy.limit(2_000_000))
  const medians = yield* rounds({
    floor: ours(Floor.scoped(times(100_000, () => Floor.enqueue(noop, { by: 1 })))),
    small: ours(enqueues(10_000).pipe(Airlock.scoped)),
    large: ours(enqueues(100_000).pipe(Airlock.scoped)),
    composed: ours(enqueues(100_000).pipe(Airlock.scoped({ policy: three }))),
    nested: ours(
      enqueues(100_000).pipe(
        Airlock.withPolicy(Policy.blockTasks(["Other"])),
        Airlock.scoped({ policy: Policy.allowTasks([Count]) }),
        Airlock.scoped({ policy: Policy.limit(2_000_000) })
      )
    )
  }, { rounds: 15, warmup: 2 })
  report("100 000 intents with no policy, times the floor", medians.large! / medians.floor!, "bar: at most 2.5")
  report("the same under three policies, in three scopes", medians.nested! / medians.floor!, "bar: at most 3.5")
  report("the same under three policies, composed by Policy.all", medians.composed! / medians.floor!, "no bar")
  report("100 000 intents, times 10 000", medians.large! / medians.small!, "bar: at most 15")
  const million = yield* rounds({ million: ours(enqueues(1_000_000).pipe(Airlock.scoped)) }, { rounds: 3, warmup: 0 })
  report("1 000 000 intents, times 100 000", million.million! / medians.large!, "bar: at most 15")
  report("bytes held for an intent, beyond its payload", yield* ours(bytesHeld(100_000)), "bar: below 250")
  report(
    "longest delay of a timer at 100 000 intents, in ms",
    yield* ours(longestDelay(enqueues(100_000).pipe(Airlock.scoped({ policy: three })))),
    "bar: below 50"
  )
})
