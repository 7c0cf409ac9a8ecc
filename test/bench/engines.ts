/**
 * `npm run bench engines`: what our adapters add to the engines: jobs handed over in batches of 1000 beside the engine's own bulk
 * call, and jobs worked beside the engine's own worker. Both sides have the same options, and ten handlers at a time.
 *
 * Work is timed from the end of the first tenth of the jobs to the end of the last one.
 */
import { Deferred, Effect, Exit, Layer, Schema, type Scope } from "effect"
import { Airlock, type Executor, type Intent, Task } from "effect-airlock"
import { amqp } from "./engines/amqp.js"
import { bullmq } from "./engines/bullmq.js"
import { batchSize, type BenchEngine, email } from "./engines/engine.js"
import { graphileWorker } from "./engines/graphileWorker.js"
import { persistedQueue } from "./engines/persistedQueue.js"
import { pgboss } from "./engines/pgboss.js"
import { workflow } from "./engines/workflow.js"
import { report, rounds } from "./rounds.js"

const Mail = Task.make("Mail", { payload: { email: Schema.String } })

const engines: Readonly<Record<string, BenchEngine>> = {
  BullMQ: bullmq,
  RabbitMQ: amqp,
  PersistedQueue: persistedQueue,
  workflow,
  "graphile-worker": graphileWorker,
  "pg-boss": pgboss
}

/** The intents of a scope, whose executor must be the one that they are for. */
const intentsFor = (executor: Executor.Executor, jobs: number) =>
  Effect.gen(function*() {
    const taken: Array<Intent.Intent> = []
    const taking: Executor.Executor = {
      ...executor,
      dispatch: (intents) => Effect.sync(() => intents.map((intent) => (taken.push(intent), Exit.void)))
    }
    yield* Airlock.enqueue(Mail, { email }).pipe(
      Effect.repeatN(jobs - 1),
      Airlock.scoped,
      Effect.provide(Airlock.layer({ executor: taking }))
    )
    return taken
  })

const dispatch = (executor: Executor.Executor, intents: ReadonlyArray<Intent.Intent>) =>
  Effect.flatMap(Airlock.Airlock, ({ handlers }) => executor.dispatch(intents, handlers)).pipe(
    Effect.filterOrDieMessage((outcomes) => outcomes.every(Exit.isSuccess), "the engine did not take all intents"),
    Effect.provide(Airlock.AirlockLive)
  )

/** Gives the milliseconds of the hand-over. The intents are there, and so is the connection. */
const handedOver = ({ clear, jobs, ours }: BenchEngine) =>
  Effect.scoped(Effect.gen(function*() {
    yield* clear
    const executor = yield* ours.executor
    yield* dispatch(executor, yield* intentsFor(executor, 1))
    const batches = yield* Effect.all(
      Array.from({ length: jobs / batchSize }, () => intentsFor(executor, batchSize))
    )
    const started = performance.now()
    yield* Effect.forEach(batches, (intents) => dispatch(executor, intents))
    return performance.now() - started
  })).pipe(Effect.orDie)

const handedOverByItself = ({ clear, jobs }: BenchEngine, adding: BenchEngine["own"]["add"]) =>
  Effect.scoped(Effect.gen(function*() {
    yield* clear
    const add = yield* adding
    yield* Effect.promise(() => add(1))
    const started = performance.now()
    yield* Effect.repeatN(Effect.promise(() => add(batchSize)), jobs / batchSize - 1)
    return performance.now() - started
  }))

/** Gives the milliseconds of the work. */
const worked = (
  engine: BenchEngine,
  work: (onJob: () => void) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  Effect.scoped(Effect.gen(function*() {
    const { clear, jobs, ours } = engine
    yield* clear
    const executor = yield* ours.executor
    yield* Effect.repeatN(
      Effect.flatMap(intentsFor(executor, batchSize), (intents) => dispatch(executor, intents)),
      jobs / batchSize - 1
    )
    const end = yield* Deferred.make<number>()
    let done = 0
    let started = 0
    yield* work(() => {
      done++
      if (done === jobs / 10) {
        started = performance.now()
      } else if (done === jobs) {
        Deferred.unsafeDone(end, Effect.succeed(performance.now() - started))
      }
    })
    return yield* Deferred.await(end)
  })).pipe(Effect.orDie)

const byOurWorker = ({ ours: { worker } }: BenchEngine) => (onJob: () => void) =>
  Layer.build(worker.pipe(
    Layer.provide(Mail.toLayer(() => Effect.sync(onJob))),
    Layer.provide(Airlock.AirlockLive)
  ))

/** Names of engines after `engines` choose some of them. */
const chosen = Object.entries(engines).filter(([name], _, all) => {
  const named = all.filter(([name]) => process.argv.includes(name))
  return named.length === 0 || process.argv.includes(name)
})

export const engineAdapters: Effect.Effect<void> = Effect.forEach(chosen, ([name, engine]) =>
  Effect.gen(function*() {
    yield* engine.setup
    const medians = yield* rounds({
      "handed over": handedOver(engine),
      "handed over by itself": handedOverByItself(engine, engine.own.add),
      ...(engine.own.addWithOurData && { "with our data": handedOverByItself(engine, engine.own.addWithOurData) }),
      worked: worked(engine, byOurWorker(engine)),
      "worked by itself": worked(engine, engine.own.work)
    }, { rounds: 7, warmup: 2 })
    yield* engine.clear
    report(
      `${name}: handed over, share of its own bulk call`,
      medians["handed over by itself"]! / medians["handed over"]!,
      "bar: at least 0.85"
    )
    if (medians["with our data"] !== undefined) {
      report(
        `${name}: the same, if its jobs have the data of ours`,
        medians["with our data"] / medians["handed over"]!,
        "no bar"
      )
    }
    report(
      `${name}: worked, share of its own worker`,
      medians["worked by itself"]! / medians["worked"]!,
      "bar: at least 0.8"
    )
    for (const [what, millis] of Object.entries(medians)) {
      process.stdout.write(`  (${what}: ${Math.round(engine.jobs / millis * 1000)}/s)\n`)
    }
  }), { discard: true })
