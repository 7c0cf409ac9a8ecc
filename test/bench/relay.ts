/**
 * `npm run bench relay`: how many jobs a second the relay works, beside other queues. They need PostgreSQL
 * (`AIRLOCK_TEST_POSTGRES`) and Redis (`AIRLOCK_BENCH_REDIS`), or what answers at their standard ports.
 *
 * The jobs are in the queue before a worker starts. The clock runs from the end of the first tenth of the jobs to the end of the
 * last one. So the time in which a worker starts, connects and prepares its statements counts for none of them, and neither does
 * the last acknowledgement; the acknowledgements of the first tenth count instead. In the end no job may be
 * left that was not acknowledged. The workers run in this process, one after the other, and the slow ones get fewer jobs.
 */
import { Deferred, Effect, Schedule } from "effect"
import { airlock, best, defaults } from "./relayPeers/airlock.js"
import { bullmq } from "./relayPeers/bullmq.js"
import { newDatabase } from "./relayPeers/database.js"
import * as graphile from "./relayPeers/graphileWorker.js"
import { handWritten } from "./relayPeers/handWritten.js"
import type { Peer } from "./relayPeers/peer.js"
import { persistedQueue } from "./relayPeers/persistedQueue.js"
import { pgBoss } from "./relayPeers/pgBoss.js"
import { report, rounds } from "./rounds.js"

/** Fails unless all jobs are acknowledged within ten seconds. */
const allAcknowledged = (name: string, peer: Peer) =>
  Effect.flatMap(
    peer.left,
    (left) => left === 0 ? Effect.void : Effect.fail(`${name}: ${left} jobs are not acknowledged`)
  ).pipe(
    Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo("10 seconds"))),
    Effect.orDie
  )

/** Gives the milliseconds that a job takes. */
const timed = (name: string, peer: Peer, jobs: number) =>
  Effect.scoped(Effect.gen(function*() {
    const first = jobs / 10
    yield* peer.clear
    yield* peer.fill(jobs)
    const end = yield* Deferred.make<number>()
    let done = 0
    let started = 0
    yield* peer.work(() => {
      done++
      if (done === first) {
        started = performance.now()
      } else if (done === jobs) {
        Deferred.unsafeDone(end, Effect.succeed(performance.now() - started))
      }
    })
    const millis = yield* Deferred.await(end)
    yield* allAcknowledged(name, peer)
    return millis / (jobs - first)
  }))

export const relay: Effect.Effect<void> = Effect.scoped(Effect.gen(function*() {
  const url = yield* newDatabase
  const peers: Record<string, readonly [peer: Peer, jobs: number]> = {
    "the relay": [airlock(url, best), 20_000],
    "the relay, by default": [airlock(url, defaults), 4000],
    "graphile-worker": [graphile.graphileWorker(url, graphile.best), 20_000],
    "graphile-worker, 10 at a time": [graphile.graphileWorker(url, graphile.ten), 2000],
    "hand-written": [handWritten(url), 20_000],
    "BullMQ, 10 at a time": [bullmq(10), 5000],
    "BullMQ, 100 at a time": [bullmq(100), 5000],
    "pg-boss, batches of 500": [pgBoss(url), 20_000],
    "PersistedQueue": [persistedQueue(url), 500]
  }
  yield* Effect.forEach(Object.values(peers), ([peer]) => peer.setup)
  const medians = yield* rounds(
    Object.fromEntries(Object.entries(peers).map(([name, [peer, jobs]]) => [name, timed(name, peer, jobs)])),
    { rounds: 5, warmup: 1 }
  )
  const ours = medians["the relay"]!
  report("jobs a second, times graphile-worker's", medians["graphile-worker"]! / ours, "bar: at least 1.2")
  report(
    "the same, both with 10 handlers at a time, otherwise by default",
    medians["graphile-worker, 10 at a time"]! / medians["the relay, by default"]!,
    "no bar"
  )
  report("the same, share of the hand-written claim and acknowledgement", medians["hand-written"]! / ours, "no bar")
  for (const name of ["BullMQ, 100 at a time", "pg-boss, batches of 500", "PersistedQueue"]) {
    report(`the same, times those of ${name}`, medians[name]! / ours, "no bar")
  }
  for (const [name, millis] of Object.entries(medians)) {
    process.stdout.write(`  (${name}: ${Math.round(1000 / millis)}/s)\n`)
  }
}))
