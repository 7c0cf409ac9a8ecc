/**
 * `npm run bench relay-bloat`: what the jobs leave behind in PostgreSQL, beside other queues. Jobs are added while a worker works,
 * such that a few thousand are always waiting.
 *
 * - The most dead tuples at one time while 200 000 jobs pass, and the largest size of the tables with their indexes.
 *   `pgstattuple` counts the dead tuples if it can be installed, or else the statistics of PostgreSQL, which lag behind.
 * - Throughput beside a transaction that is open for 30 seconds and keeps all dead tuples from being removed: in its first
 *   five seconds and in its last.
 */
import { Effect, Fiber, Schedule } from "effect"
import { airlock, best } from "./relayPeers/airlock.js"
import { count, execute, newDatabase, pool, query } from "./relayPeers/database.js"
import * as graphile from "./relayPeers/graphileWorker.js"
import type { SqlPeer } from "./relayPeers/peer.js"
import { pgBoss } from "./relayPeers/pgBoss.js"
import { report } from "./rounds.js"

const all = 200_000
const waiting = 5000
const chunk = 1000
const pinnedSeconds = 30

/** Keeps jobs waiting while a worker works. Succeeds when `limit` jobs are done. `progress.done` counts them. */
const feed = (peer: SqlPeer, progress: { done: number }, limit: number) =>
  Effect.scoped(Effect.gen(function*() {
    yield* peer.clear
    yield* peer.work(() => {
      progress.done++
    })
    let added = 0
    while (progress.done < limit) {
      if (added < limit && added - progress.done < waiting) {
        yield* peer.fill(chunk)
        added += chunk
      } else {
        yield* Effect.sleep("5 millis")
      }
    }
  }))

/** An Effect that gives the number of dead tuples in the tables. */
const deadTuples = (url: string) =>
  Effect.map(count(url, "pg_available_extensions WHERE name = 'pgstattuple'"), (available) => {
    const dead = available > 0
      ? (table: string) => `SELECT dead_tuple_count AS dead FROM pgstattuple('${table}')`
      : (table: string) => `SELECT n_dead_tup AS dead FROM pg_stat_user_tables WHERE relid = '${table}'::regclass`
    return {
      source: available > 0 ? "pgstattuple" : "pg_stat_user_tables",
      prepare: available > 0 ? execute(url, "CREATE EXTENSION IF NOT EXISTS pgstattuple") : Effect.void,
      of: ({ tables }: SqlPeer) =>
        Effect.map(
          query(url, tables.map(dead).join(" UNION ALL ")),
          (rows) => rows.reduce((sum, row) => sum + Number(row["dead"]), 0)
        )
    }
  })

const peak = (url: string, peer: SqlPeer, dead: (peer: SqlPeer) => Effect.Effect<number>) =>
  Effect.gen(function*() {
    const most = { dead: 0, megabytes: 0 }
    const size = peer.tables.map((table) => `pg_total_relation_size('${table}')`).join(" + ")
    const progress = { done: 0 }
    const working = yield* Effect.fork(feed(peer, progress, all))
    const started = performance.now()
    yield* Effect.gen(function*() {
      most.dead = Math.max(most.dead, yield* dead(peer))
      const [row] = yield* query(url, `SELECT (${size}) / 1000000.0 AS size`)
      most.megabytes = Math.max(most.megabytes, Number(row!["size"]))
    }).pipe(Effect.repeat(Schedule.spaced("250 millis")), Effect.raceFirst(Fiber.join(working)))
    return { ...most, perSecond: all / (performance.now() - started) * 1000 }
  })

/** Holds a snapshot while an Effect runs, so that no dead tuple can be removed. */
const whilePinned = <A>(url: string, self: Effect.Effect<A>) =>
  Effect.scoped(Effect.gen(function*() {
    const connections = yield* pool(url, 1)
    const connection = yield* Effect.acquireRelease(
      Effect.promise(() => connections.connect()),
      (connection) => Effect.sync(() => connection.release())
    )
    yield* Effect.promise(() => connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()"))
    const result = yield* self
    yield* Effect.promise(() => connection.query("ROLLBACK"))
    return result
  }))

/** Jobs a second in the first and in the last five seconds. */
const pinned = (url: string, peer: SqlPeer) =>
  Effect.gen(function*() {
    const progress = { done: 0 }
    const working = yield* Effect.fork(feed(peer, progress, Infinity))
    yield* Effect.sleep("2 seconds")
    const after = (seconds: number) => Effect.delay(Effect.sync(() => progress.done), `${seconds} seconds`)
    const result = yield* whilePinned(
      url,
      Effect.gen(function*() {
        const start = progress.done
        const five = yield* after(5)
        const beforeLast = yield* after(pinnedSeconds - 10)
        const end = yield* after(5)
        return { first: (five - start) / 5, last: (end - beforeLast) / 5 }
      })
    )
    yield* Fiber.interrupt(working)
    return result
  })

export const relayBloat: Effect.Effect<void> = Effect.scoped(Effect.gen(function*() {
  const url = yield* newDatabase
  const dead = yield* deadTuples(url)
  const peers: Record<string, SqlPeer> = {
    "the relay": airlock(url, best),
    "graphile-worker": graphile.graphileWorker(url, graphile.best),
    "pg-boss": pgBoss(url)
  }
  yield* dead.prepare
  yield* Effect.forEach(Object.values(peers), (peer) => peer.setup)
  for (const name of ["the relay", "graphile-worker"]) {
    const most = yield* peak(url, peers[name]!, dead.of)
    report(`most dead tuples over ${all} jobs, by ${dead.source}: ${name}`, most.dead, "no bar")
    process.stdout.write(
      `  (tables and indexes: ${Math.round(most.megabytes)} MB at most; ${Math.round(most.perSecond)} jobs/s)\n`
    )
  }
  for (const [name, peer] of Object.entries(peers)) {
    const { first, last } = yield* pinned(url, peer)
    report(
      `jobs/s after ${pinnedSeconds} s of a pinned xmin, of those at first: ${name}`,
      last / first,
      "no bar"
    )
    process.stdout.write(`  (${Math.round(first)}/s in the first 5 s, ${Math.round(last)}/s in the last 5 s)\n`)
  }
}))
