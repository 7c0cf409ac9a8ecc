/**
 * `npm run bench relay-latency`: how long it takes from the insert of a job to its handler, in a queue that is nearly empty, beside
 * graphile-worker and beside a bare NOTIFY.
 *
 * Another process writes 500 jobs a second, as services and workers are usually apart. It writes by the clock and does not wait
 * for answers, so a slow contestant cannot slow the offer down. It takes the time after the BEGIN and before the insert, so
 * the insert and the COMMIT count, for all contestants alike. Both processes read the machine's monotonic clock. The first second
 * does not count.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { airlock, best, defaults } from "./relayPeers/airlock.js"
import { newDatabase } from "./relayPeers/database.js"
import * as graphile from "./relayPeers/graphileWorker.js"
import { notifications } from "./relayPeers/notifications.js"
import { type Channel, now } from "./relayPeers/peer.js"
import { median, report } from "./rounds.js"

const perSecond = 500
const seconds = 5
const rounds = 3

const program = fileURLToPath(new URL("./relayWriter.ts", import.meta.url))

/** Lets another process write the jobs, and waits until it has ended. */
const offer = (kind: string, url: string) =>
  Effect.promise(async () => {
    const writer = spawn(
      process.execPath,
      [...process.execArgv, program, kind, url, String(perSecond), String(perSecond * seconds)],
      { stdio: ["ignore", "inherit", "inherit"] }
    )
    const [code] = await once(writer, "exit")
    if (code !== 0) {
      throw new Error(`the writer of ${kind} ended with ${code}`)
    }
  })

const quantile = (sorted: ReadonlyArray<number>, q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!

/** Gives p50 and p99 in milliseconds. */
const measure = (channel: Channel, kind: string, url: string) =>
  Effect.scoped(Effect.gen(function*() {
    const all = perSecond * seconds
    const latencies: Array<number> = []
    yield* channel.work(({ at }) => {
      latencies.push((now() - at) / 1000)
    })
    yield* offer(kind, url)
    // What polls may still be on its way.
    for (let i = 0; i < 100 && latencies.length < all; i++) {
      yield* Effect.sleep("50 millis")
    }
    if (latencies.length !== all) {
      return yield* Effect.dieMessage(`${kind}: ${latencies.length} of ${all} jobs arrived`)
    }
    const sorted = latencies.slice(perSecond).sort((a, b) => a - b)
    return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
  }))

export const relayLatency: Effect.Effect<void> = Effect.scoped(Effect.gen(function*() {
  const url = yield* newDatabase
  const channels: Record<string, readonly [channel: Channel, kind: string]> = {
    "the relay": [airlock(url, best), "airlock"],
    "the relay, by default": [airlock(url, defaults), "airlock"],
    "graphile-worker": [graphile.graphileWorker(url, graphile.best), "graphile-worker"],
    "graphile-worker, 10 at a time": [graphile.graphileWorker(url, graphile.ten), "graphile-worker"],
    "a bare NOTIFY": [notifications(url), "notifications"]
  }
  yield* Effect.forEach(Object.values(channels), ([channel]) => channel.setup)
  const found = new Map(
    Object.keys(channels).map((name) => [name, { p50: [] as Array<number>, p99: [] as Array<number> }])
  )
  const names = Object.keys(channels)
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length]!
      const { p50, p99 } = yield* measure(...channels[name]!, url)
      found.get(name)!.p50.push(p50)
      found.get(name)!.p99.push(p99)
    }
  }
  for (const quantile of ["p50", "p99"] as const) {
    for (const [name, values] of found) {
      report(
        `${quantile} from insert to handler at ${perSecond}/s, in ms: ${name}`,
        median(values[quantile]),
        "no bar"
      )
    }
  }
}))
