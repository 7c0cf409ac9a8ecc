/**
 * `npx tsx examples/blocking.ts` runs three handlers for the same computation, and prints how long each blocked the
 * event loop. The first handler computes in place. The second computes in a Promise, which changes nothing. The third
 * asks a pool of worker threads.
 */
import { Worker, WorkerRunner } from "@effect/platform"
import { NodeRuntime, NodeWorker, NodeWorkerRunner } from "@effect/platform-node"
import { Context, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { isMainThread, threadId, Worker as Thread } from "node:worker_threads"

// ---------------------------------------------------------------- the computation

const Counted = Schema.Struct({ primes: Schema.Number, thread: Schema.Number })

const countPrimes = (below: number): typeof Counted.Type => {
  let primes = 0
  for (let n = 2; n < below; n++) {
    let divisor = 2
    while (divisor * divisor <= n && n % divisor !== 0) {
      divisor++
    }
    primes += divisor * divisor > n ? 1 : 0
  }
  return { primes, thread: threadId }
}

// ---------------------------------------------------------------- the worker's side

class CountPrimes extends Schema.TaggedRequest<CountPrimes>()("CountPrimes", {
  payload: { below: Schema.Number },
  success: Counted,
  failure: Schema.Never
}) {}

const worker = WorkerRunner.layerSerialized(CountPrimes, {
  CountPrimes: ({ below }) => Effect.sync(() => countPrimes(below))
}).pipe(Layer.provide(NodeWorkerRunner.layer))

// ---------------------------------------------------------------- the application's side

class Pool extends Context.Tag("Pool")<Pool, Worker.SerializedWorkerPool<CountPrimes>>() {}

const PoolLive = Worker.makePoolSerializedLayer(Pool, { size: 2 }).pipe(
  Layer.provide(NodeWorker.layer(() => new Thread(runThisFile, { eval: true })))
)

/** Loads TypeScript in each thread. Compiled to JavaScript, `new Thread(new URL(import.meta.url))` is enough. */
const runThisFile = `import("tsx/esm/api").then(({ tsImport }) => tsImport("${import.meta.url}", "${import.meta.url}"))`

const Report = Task.make("Report", { payload: { below: Schema.Number } })

/** The results of the handlers. */
class Reports extends Context.Tag("Reports")<Reports, Array<typeof Counted.Type>>() {}

const put = (counted: typeof Counted.Type) => Effect.map(Reports, (reports) => reports.push(counted))

const handlers = {
  "computes in place": Report.toLayer(({ below }) => Effect.flatMap(Effect.sync(() => countPrimes(below)), put)),
  "computes in a Promise": Report.toLayer(({ below }) =>
    Effect.flatMap(Effect.promise(async () => countPrimes(below)), put)
  ),
  "asks the worker pool": Report.toLayer(({ below }) =>
    Effect.flatMap(Pool, (pool) => pool.executeEffect(new CountPrimes({ below }))).pipe(Effect.flatMap(put))
  )
}

/** Runs an Effect, and gives the longest time in milliseconds for which it blocked the event loop. */
const longestDelay = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const delays = monitorEventLoopDelay({ resolution: 1 })
      delays.enable()
      return delays
    }),
    // The monitor sees a delay only after it has ended, hence the pauses before and after.
    (delays) => Effect.as(Effect.delay(Effect.zipRight(self, Effect.sleep("10 millis")), "10 millis"), delays),
    (delays) => Effect.sync(() => delays.disable())
  ).pipe(Effect.map(({ max }) => Math.round(max / 1e6)))

const fourReports = Effect.replicateEffect(Airlock.enqueue(Report, { below: 400_000 }), 4).pipe(Airlock.scoped)

const measured = (name: string, handler: Layer.Layer<never, never, Airlock.Airlock | Pool | Reports>) =>
  Effect.gen(function*() {
    const delay = yield* longestDelay(fourReports)
    const reports = yield* Reports
    const primes = reports.map((report) => report.primes).join(" ")
    const threads = [...new Set(reports.map(({ thread }) => thread))].join(" and ")
    console.log(`${name.padEnd(22)} ${primes} primes, thread ${threads}; longest delay ${delay} ms`)
  }).pipe(
    Effect.provide(handler.pipe(Layer.provideMerge(AirlockLive), Layer.provideMerge(Layer.sync(Reports, () => []))))
  )

const main = Effect.forEach(Object.entries(handlers), ([name, handler]) => measured(name, handler)).pipe(
  Effect.provide(PoolLive)
)

if (isMainThread) {
  NodeRuntime.runMain(main)
} else {
  NodeRuntime.runMain(WorkerRunner.launch(worker))
}
