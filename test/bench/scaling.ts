/**
 * `npm run bench scaling`: what a job costs the database, the relay, Redis and a worker in CPU time, and what follows from it for
 * larger machines. The costs are measured with PostgreSQL and Redis on this machine, which nothing else may use meanwhile. The rest
 * is a simulation (`scalingModel.ts`). It needs Linux.
 */
import { Deferred, Effect, Layer, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { cpuTimeOf } from "./cpuTime.js"
import { bullmq } from "./engines/bullmq.js"
import { airlock, best } from "./relayPeers/airlock.js"
import { client, newDatabase } from "./relayPeers/database.js"
import { limitOf, simulate, type System, type Visit } from "./scalingModel.js"

const jobs = 20_000

/** CPU time for a job, in microseconds. */
interface Cost {
  readonly database: number
  readonly redis: number
  readonly node: number
}

/** Gives what an Effect costs for each job. */
const costOf = <E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<Cost, E, R> =>
  Effect.suspend(() => {
    const before = { database: cpuTimeOf("postgres"), redis: cpuTimeOf("redis-server"), node: process.cpuUsage() }
    return Effect.map(self, () => {
      const { system, user } = process.cpuUsage(before.node)
      return {
        database: (cpuTimeOf("postgres") - before.database) / jobs,
        redis: (cpuTimeOf("redis-server") - before.redis) / jobs,
        node: (user + system) / jobs
      }
    })
  })

/** Waits until a function was called for each job. */
const counted = <E, R>(use: (onJob: () => void) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    const end = yield* Deferred.make<void>()
    let done = 0
    yield* use(() => {
      if (++done === jobs) {
        Deferred.unsafeDone(end, Effect.void)
      }
    })
    yield* Deferred.await(end)
  })

const Count = Task.make("Count", { payload: { at: Schema.Number, email: Schema.String } })

const measured = Effect.gen(function*() {
  const url = yield* newDatabase
  const outbox = airlock(url, best)
  yield* outbox.setup
  const write = yield* outbox.writer
  const written = yield* costOf(Effect.all(Effect.replicate(write, jobs), { concurrency: 8, discard: true }))
  const worked = yield* Effect.scoped(costOf(counted(outbox.work)))

  yield* outbox.clear
  yield* outbox.fill(jobs)
  const data = SqlTransaction.layer.pipe(
    Layer.provideMerge(Outbox.live({ table: "airlock_outbox" })),
    Layer.provideMerge(client(url))
  )
  const { executor, worker } = bullmq.ours
  const relay = Layer.unwrapScoped(
    Effect.map(executor, (executor) => Outbox.relay({ executor, batchSize: 1000, table: "airlock_outbox" }))
  ).pipe(Layer.provide(data))
  const untilEmpty: Effect.Effect<void> = Effect.flatMap(
    outbox.left,
    (left) => left === 0 ? Effect.void : Effect.zipRight(Effect.sleep("50 millis"), untilEmpty)
  )
  const handedOver = yield* Effect.scoped(costOf(Effect.zipRight(Layer.build(relay), untilEmpty)))
  const workedByEngine = yield* Effect.scoped(costOf(counted((onJob) =>
    Layer.build(worker.pipe(
      Layer.provide(Count.toLayer(() => Effect.sync(onJob))),
      Layer.provide(Airlock.AirlockLive)
    ))
  )))
  yield* bullmq.clear
  return { written, worked, handedOver, workedByEngine }
}).pipe(Effect.scoped, Effect.orDie)

type Costs = Effect.Effect.Success<typeof measured>

const visit = (station: string, micros: number): Visit => ({ station, micros })

/** The outbox alone: relays run the handlers. */
const alone = ({ worked, written }: Costs, cores: number, relays: number): System => ({
  stations: { database: cores, relays },
  visits: [visit("database", written.database), visit("database", worked.database), visit("relays", worked.node)]
})

/** BullMQ behind the outbox: relays hand over, and other processes run the handlers. */
const behind = (
  { handedOver, workedByEngine, written }: Costs,
  cores: number,
  relays: number,
  workers: number
): System => ({
  stations: { database: cores, relays, Redis: 1, workers },
  visits: [
    visit("database", written.database),
    visit("database", handedOver.database),
    visit("relays", handedOver.node),
    visit("Redis", handedOver.redis),
    visit("Redis", workedByEngine.redis),
    visit("workers", workedByEngine.node)
  ]
})

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const line = (name: string, system: System): void => {
  const { rate, station } = limitOf(system)
  const waits = [0.5, 0.9, 0.99].map((share) => {
    const times = simulate(system, rate * share, 200_000)
    return times[Math.floor(times.length * 0.99)]!.toFixed(1).padStart(7)
  })
  print(`${name.padEnd(52)} ${`${Math.round(rate / 100) / 10}k`.padStart(7)}  ${station.padEnd(9)} ${waits.join(" ")}`)
}

export const scaling: Effect.Effect<void> = Effect.map(measured, (costs) => {
  print("CPU time for a job, in microseconds:            database    Redis  Node.js")
  const names = {
    written: "written in a transaction of its own",
    worked: "claimed, run and acknowledged by a relay",
    handedOver: "handed over to BullMQ by a relay",
    workedByEngine: "run by a worker of BullMQ"
  }
  for (const [name, { database, node, redis }] of Object.entries(costs)) {
    const micros = [database, redis, node].map((value) => value.toFixed(0).padStart(8))
    print(`  ${names[name as keyof Costs].padEnd(44)} ${micros.join(" ")}`)
  }
  print(
    "\nSimulated, with handlers that take no time:          jobs/s  full first    p99 in ms at 50, 90, 99 % of that"
  )
  for (const cores of [2, 8, 32]) {
    line(`outbox alone, ${cores} cores, 1 relay`, alone(costs, cores, 1))
    line(`outbox alone, ${cores} cores, 4 relays`, alone(costs, cores, 4))
    line(`BullMQ behind it, ${cores} cores, 1 relay, 4 workers`, behind(costs, cores, 1, 4))
    line(`BullMQ behind it, ${cores} cores, 4 relays, 16 workers`, behind(costs, cores, 4, 16))
  }
})
