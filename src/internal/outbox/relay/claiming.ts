/**
 * Claims rows for the free slots of a relay, as long as there are any, and otherwise waits for a notification or the next poll.
 *
 * A look finds the lanes that have ready rows. Claims then name these lanes, until they are empty.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ClaimOptions } from "../store/claim.js"
import type { Lane } from "../store/row.js"
import type { Pool } from "./pools.js"
import * as report from "./report.js"
import type { Results } from "./results.js"
import { isRunnable } from "./session.js"
import type { RelayState } from "./state.js"

/** The relay claims ahead if handlers end so fast that its last claim is no longer ago than this. */
const fastMillis = 100

/** Claimed rows that find no free slot for this long are given back to other relays. */
const patienceMillis = 1000

/** The relay claims no more while this many times `batchSize` results are not stored. */
const maxResults = 4

/** @internal */
export class Claiming {
  private lanes: ReadonlyArray<Lane> = []
  private claimedAt = -Infinity
  /** The number of the last claim. */
  private claims = 0

  constructor(private readonly state: RelayState, private readonly results: Results) {}

  /** Runs until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => Effect.forever(this.round))

  private readonly round: Effect.Effect<void> = Effect.suspend(() => {
    const { settings } = this.state
    // After a pause of the process, a look would let the relay reap its own session before that is renewed.
    const looks = this.isAlive && this.state.now() >= this.state.lookAt
    return this.giveBack.pipe(
      Effect.zipRight(looks ? this.lookNow : Effect.void),
      Effect.zipRight(this.claimAll),
      Effect.flatMap((found) => {
        if (found === true) {
          return Effect.void
        }
        if (found === false && !looks) {
          // The lanes of the last look are empty now. Others may not be.
          this.state.lookAt = 0
          return Effect.void
        }
        return this.pause
      }),
      Effect.catchAllCause((cause) =>
        Effect.zipRight(report.statementFailed("claim rows of the outbox", cause), Effect.sleep(settings.pollInterval))
      )
    )
  })

  /** Gives back the rows that have waited for too long, and those of which the relay does not know. */
  private readonly giveBack: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const { parts: { store }, pools, rows, session } = this.state
    const before = this.state.now() - patienceMillis
    const stale = pools.all.flatMap((pool) => pool.takeStale(before))
    stale.forEach((row) => rows.delete(row))
    this.state.givenBack = [...this.state.givenBack, ...stale]
    if (!this.state.hasUnknownRows && stale.length === 0) {
      return Effect.void
    }
    const unclaim = this.state.hasUnknownRows
      ? store.unclaimOthers(session.id, rows.ids)
      : Effect.asVoid(store.unclaim(session.id, stale.map(({ id }) => id)))
    this.state.hasUnknownRows = false
    return Effect.map(this.orUnknownRows(unclaim), () => {
      this.state.givenBack = []
    })
  })

  /** If the statement fails, its answer may have been lost. */
  private orUnknownRows<A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.onError(statement, () =>
      Effect.sync(() => {
        this.state.hasUnknownRows = true
      }))
  }

  private readonly lookNow: Effect.Effect<void, SqlError> = Effect.gen(this, function*() {
    const { parts: { store }, settings, tasks } = this.state
    this.state.lookAt = this.state.now() + Duration.toMillis(settings.pollInterval)
    let found = yield* store.look
    if (found.isDue) {
      yield* store.expire
      yield* Effect.flatMap(store.reap, report.reaped)
      found = yield* store.look
    }
    // A row that is due now is one that `expire` could not change.
    if (found.dueInMillis !== undefined && found.dueInMillis > 0) {
      this.state.lookWithin(found.dueInMillis)
    }
    this.lanes = found.lanes.filter((lane) => !found.paused.includes(lane.queue) && isRunnable(tasks, lane))
  })

  /** Returns whether there were rows. `undefined` if none were wanted. */
  private readonly claimAll: Effect.Effect<boolean | undefined, SqlError> = Effect.gen(this, function*() {
    const { pools } = this.state
    let found: boolean | undefined = undefined
    if (this.lanes.length === 0 || !this.isAlive) {
      return found
    }
    const isFast = this.state.now() - this.claimedAt < fastMillis
    this.claimedAt = this.state.now()
    for (const pool of pools.all) {
      const lanes = this.lanes
        .filter(({ queue }) => pools.of(queue) === pool)
        .map(({ queue, task, version }) => ({ queue, task, version, limit: this.wanted(pool, task, isFast) }))
      const wanted = Math.max(0, ...lanes.map(({ limit }) => limit))
      if (wanted > 0) {
        pool.claims(isFast)
        found = (yield* this.claim(pool, lanes, wanted)) > 0 || found === true
      }
    }
    return found
  })

  private wanted(pool: Pool, task: string, isFast: boolean): number {
    const { parts, pools, rows, settings } = this.state
    if (
      this.results.size > maxResults * settings.batchSize || rows.bytes >= settings.maxBytes ||
      parts.outage?.isOn === true
    ) {
      return 0
    }
    return pools.wanted(pool, parts.handlers.maxBatch(task), isFast)
  }

  private claim(pool: Pool, lanes: ClaimOptions["lanes"], limit: number): Effect.Effect<number, SqlError> {
    const { parts: { store }, rows: held, session, settings } = this.state
    const claim = store.claim({
      lease: session.id,
      claimNumber: ++this.claims,
      lanes,
      limit,
      maxBytes: settings.maxBytes - held.bytes
    })
    return Effect.map(this.orUnknownRows(claim), (rows) => {
      // If the session was lost meanwhile, so were the rows.
      if (session === this.state.session) {
        pool.add(rows, this.state.now())
        rows.forEach((row) => held.add(row))
        this.state.beginning.wake()
      }
      return rows.length
    })
  }

  /** Waits for a notification, a free slot or the next poll. */
  private readonly pause: Effect.Effect<void> = Effect.suspend(() =>
    Effect.asVoid(Effect.timeoutOption(
      this.state.claiming.wait,
      // A renewal wakes the relay when its session is alive again.
      this.isAlive ? Math.max(1, this.state.lookAt - this.state.now()) : this.state.settings.pollInterval
    ))
  )

  private get isAlive(): boolean {
    return this.state.session.isAlive(this.state.now())
  }
}
