/**
 * `npm run bench relay-scale`: what a claim costs with 1 000 000 ready and 1 000 000 held rows, of what it costs with 10 000 of
 * each, and how much memory a relay takes meanwhile. Also a claim with 200 000 rows of one ordering key, beside 10 000 of them.
 */
import { SqlClient } from "@effect/sql"
import { Deferred, Effect } from "effect"
import { makeStore } from "../../src/internal/outbox/store/store.js"
import { airlock } from "./relayPeers/airlock.js"
import { client, execute, newDatabase, payload } from "./relayPeers/database.js"
import { median, report } from "./rounds.js"

const few = 10_000
const many = 1_000_000
const manyOfOneKey = 200_000
const claims = 50
const batch = 100
const worked = 20_000

const table = "airlock_outbox"
const lane = { queue: "default", task: "Count", version: 1 }
const lease = "01900000-0000-7000-8000-000000000001"

let filledTimes = 0

/** The ids of intents grow with the time. */
const nextIds = () =>
  `CAST('${
    (0x01900000 + filledTimes++).toString(16).padStart(8, "0")
  }-0000-7000-8000-' || LPAD(TO_HEX(n), 12, '0') AS UUID)`

const rows = (count: number, state: string, columns: string, values: string) =>
  `INSERT INTO ${table} (id, task, version, payload, state, ready_at, enqueued_at${columns})
   SELECT ${nextIds()}, 'Count', 1, '${payload}', '${state}', n, 1${values} FROM generate_series(1, ${count}) AS n;`

/** The medians in milliseconds. */
const measure = (url: string) =>
  Effect.gen(function*() {
    const store = makeStore(yield* SqlClient.SqlClient, table)
    yield* store.register({ id: lease, name: "bench", tasks: [["Count", 1]], queues: null }, 600_000)
    const timed = <A, E>(self: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        const started = performance.now()
        return Effect.map(self, (value) => [performance.now() - started, value] as const)
      })
    const looks: Array<number> = []
    const expiries: Array<number> = []
    const times: Array<number> = []
    let found = 0
    for (let claimNumber = 1; claimNumber <= claims; claimNumber++) {
      looks.push((yield* timed(store.look))[0])
      expiries.push((yield* timed(store.expire))[0])
      const [millis, claimed] = yield* timed(
        store.claim({ lease, claimNumber, lanes: [{ ...lane, limit: batch }], limit: batch, maxBytes: 10_000_000 })
      )
      times.push(millis)
      found += claimed.length
    }
    yield* store.unregister(lease)
    return { look: median(looks), expire: median(expiries), claim: median(times), found }
  }).pipe(Effect.provide(client(url)))

const filled = (url: string, ...statements: ReadonlyArray<string>) =>
  Effect.zipRight(
    execute(url, `TRUNCATE ${table}; ${statements.join("\n")}`),
    execute(url, `VACUUM ANALYZE ${table}`)
  )

/** The most megabytes of the heap and its buffers while a relay works. */
const memory = (url: string) =>
  Effect.scoped(Effect.gen(function*() {
    const end = yield* Deferred.make<void>()
    let done = 0
    let most = 0
    globalThis.gc?.()
    const used = () => {
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return (heapUsed + arrayBuffers) / 1e6
    }
    const before = used()
    yield* airlock(url, {}).work(() => {
      if (++done % 1000 === 0) {
        globalThis.gc?.()
        most = Math.max(most, used() - before)
      }
      if (done === worked) {
        Deferred.unsafeDone(end, Effect.void)
      }
    })
    yield* Deferred.await(end)
    return most
  }))

export const relayScale: Effect.Effect<void> = Effect.scoped(
  Effect.gen(function*() {
    const url = yield* newDatabase
    yield* airlock(url, {}).setup
    const both = (count: number) => [
      rows(count, "ready", "", ""),
      rows(count, "held", ", due_at, on_expiry", ", 9000000000000, 'release'")
    ]
    yield* filled(url, ...both(few))
    const small = yield* measure(url)
    yield* filled(url, ...both(many))
    const large = yield* measure(url)
    const megabytes = yield* memory(url)
    for (const name of ["look", "expire", "claim"] as const) {
      report(
        `${name}: time with ${many} ready and as many held rows, of that with ${few}`,
        large[name] / small[name],
        name === "claim" ? "bar: at most 2" : "no bar"
      )
    }
    process.stdout.write(
      `  (a claim of ${batch}: ${small.claim.toFixed(2)} ms and ${
        large.claim.toFixed(2)
      } ms; a relay that worked ${worked} ` +
        `of them had ${megabytes.toFixed(1)} MB more than before, at most)\n`
    )
    const ofOneKey = (count: number) => [rows(count, "ready", ", ordering_key", ", 'key'"), rows(few, "ready", "", "")]
    yield* filled(url, ...ofOneKey(few))
    const shortKey = yield* measure(url)
    yield* filled(url, ...ofOneKey(manyOfOneKey))
    const longKey = yield* measure(url)
    report(
      `claim: time with ${manyOfOneKey} rows of one key, of that with ${few}`,
      longKey.claim / shortKey.claim,
      "no bar"
    )
    process.stdout.write(
      `  (${shortKey.claim.toFixed(2)} ms and ${
        longKey.claim.toFixed(2)
      } ms; claimed ${shortKey.found} and ${longKey.found})\n`
    )
  }).pipe(Effect.orDie)
)
