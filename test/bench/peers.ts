/**
 * Compares with the Python original if that can be imported, and measures what a call site, a metric and a span would
 * cost.
 */
import { Effect, Layer, ManagedRuntime, Metric, Schema } from "effect"
import { Airlock, AirlockMetrics, Task } from "effect-airlock"
import { execFileSync } from "node:child_process"
import { callSite } from "../../src/internal/support/callSite.js"
import { report, rounds } from "./rounds.js"

const bulk = 100_000

const Count = Task.make("Count", { payload: { by: Schema.Number } })

const times = <E, R>(n: number, effect: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < n; i++) {
      yield* effect
    }
  })

const python = `
import time, airlock
count = 0
def add(by):
    global count
    count += by
def once(n):
    start = time.perf_counter()
    with airlock.scope():
        for i in range(n):
            airlock.enqueue(add, i)
    return (time.perf_counter() - start) * 1000
once(1000)
print(sorted(once(${bulk}) for _ in range(5))[2])
`

/** The milliseconds of the Python original. PYTHONPATH can point to a checkout of it. */
const original = Effect.try(() =>
  Number(execFileSync("python3", ["-c", python], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }))
)

export const peers: Effect.Effect<void> = Effect.gen(function*() {
  const runtime = ManagedRuntime.make(
    Count.toLayer(() => Effect.void).pipe(Layer.provideMerge(Airlock.layer({ maxIntents: bulk })))
  )
  const ours = <A, E>(program: Effect.Effect<A, E, Airlock.Airlock>) =>
    Effect.promise(() => runtime.runPromise(program))
  const enqueue = Effect.suspend(() => Airlock.enqueue(Count, { by: 1 }))
  const medians = yield* rounds({
    bulk: ours(times(bulk, enqueue).pipe(Airlock.scoped)),
    callSites: Effect.sync(() => {
      for (let i = 0; i < bulk; i++) {
        callSite(times)
      }
    }),
    metrics: ours(times(bulk, Metric.increment(AirlockMetrics.lateIntents))),
    spans: ours(times(bulk, Effect.withSpan(Effect.void, "span")))
  }, { rounds: 15, warmup: 2 })
  const adds = (what: string, millis: number) =>
    report(`${what} would add to an intent, of what it costs`, millis / medians.bulk!, "switched off, so not paid")
  adds("a call site", medians.callSites!)
  adds("a metric", medians.metrics!)
  adds("a span", medians.spans!)
  yield* Effect.match(original, {
    onFailure: () => process.stdout.write("the Python original is not at hand (no `import airlock`): not compared\n"),
    onSuccess: (millis) =>
      report(
        "enqueue and flush of 100 000, times as fast as the Python original",
        millis / medians.bulk!,
        "bar: at least 3"
      )
  })
})
