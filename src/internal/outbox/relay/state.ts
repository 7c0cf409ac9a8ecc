/**
 * What the parts of a relay share: its session, its slots, and the rows that it holds.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Intent } from "../../../Intent.js"
import { Wakeup } from "../../support/wakeup.js"
import type { RowError } from "../intentRow.js"
import type { ClaimedRow, Lane } from "../store/row.js"
import type { Begun } from "../store/session.js"
import type { Store } from "../store/store.js"
import type { RelayHandlers } from "./handlers.js"
import type { Outage } from "./outage.js"
import { Pools } from "./pools.js"
import type { Run } from "./run.js"
import { Session } from "./session.js"
import type { RelaySettings } from "./settings.js"

/** @internal */
export interface UnroutableLane extends Lane {
  /** For how long its next row has waited. */
  readonly ageMillis: number
}

/** What a relay works with. @internal */
export interface RelayParts {
  readonly store: Store
  /** Acknowledges rows in the transaction that is open in the fiber. */
  readonly acknowledge: Store["acknowledge"]
  readonly handlers: RelayHandlers
  /** Present if the relay hands rows over to an engine: whether that takes nothing now. */
  readonly outage?: Outage
  /** The lanes that no live relay serves, and whose next rows have waited for longer than this. */
  readonly unroutable: (olderThanMillis: number) => Effect.Effect<ReadonlyArray<UnroutableLane>, SqlError>
  /** Makes the intent of a row. */
  readonly decode: (row: ClaimedRow) => Effect.Effect<Intent, RowError>
  /** Completes at the next notification, or at once if there was one since it last completed. */
  readonly notified: Effect.Effect<void>
  /** Runs an Effect in a transaction of the application's database. */
  readonly transaction: <A>(self: Effect.Effect<A, unknown>) => Effect.Effect<A, unknown>
}

/** @internal */
export class RelayState {
  session: Session
  readonly pools: Pools
  /** The rows that the relay holds: those that wait, those that run, and those whose results are not stored. */
  readonly rows = new HeldRows()
  /** The runs whose handlers have begun and not ended. */
  readonly runs = new Set<Run>()
  isStopping = false
  /** Rows that were claimed and are given back, until the database has stored that. */
  givenBack: ReadonlyArray<ClaimedRow> = []
  /** Whether its session may have rows in the database of which the relay does not know. */
  hasUnknownRows = false
  /** When the next look for rows is due. */
  lookAt = 0

  /** Wake the loops. */
  readonly claiming = new Wakeup()
  readonly beginning = new Wakeup()
  readonly sweeping = new Wakeup()
  readonly renewing = new Wakeup()

  constructor(readonly parts: RelayParts, readonly settings: RelaySettings, private readonly clock: Clock.Clock) {
    this.pools = new Pools(settings)
    this.session = new Session(settings)
  }

  /** The time of a monotonic clock, in milliseconds. */
  now(): number {
    return Number(this.clock.unsafeCurrentTimeNanos()) / 1e6
  }

  /** Lets the relay look for rows at once. */
  look(): void {
    this.lookAt = 0
    this.claiming.wake()
  }

  /** The time until a row is due: lets the relay look for rows then, if the next poll is not sooner. */
  lookWithin(millis: number): void {
    const at = this.now() + millis + 1
    if (at < this.lookAt) {
      this.lookAt = at
      this.claiming.wake()
    }
  }

  /**
   * What has begun: all rows that the relay holds, except those that wait. In the fewest words: either all claims that have no
   * waiting row, and the other rows that have begun, or all claims up to the last one of these, without the waiting rows.
   */
  get begun(): Begun {
    const waiting = [...this.pools.all.flatMap((pool) => pool.waitingRows), ...this.givenBack]
    const begun = this.rows.except(waiting)
    const last = begun.reduce((max, { claimNumber }) => Math.max(max, claimNumber), 0)
    const firstWaiting = waiting.reduce((min, { claimNumber }) => Math.min(min, claimNumber), last + 1)
    const also = begun.filter(({ claimNumber }) => claimNumber >= firstWaiting)
    const except = waiting.filter(({ claimNumber }) => claimNumber <= last)
    return also.length <= except.length
      ? { upTo: firstWaiting - 1, except: [], last, also: also.map(({ id }) => id) }
      : { upTo: last, except: except.map(({ id }) => id), last, also: [] }
  }

  /** The tasks that this relay can run, with the newest version of each. An engine takes every task and version. */
  get tasks(): Session["tasks"] {
    const { handlers } = this.parts
    if (this.settings.handsOver) {
      return this.settings.tasks === undefined ? null : Array.from(this.settings.tasks, (name) => [name, null])
    }
    return handlers.names
      .filter((name) => this.settings.tasks?.has(name) ?? true)
      .map((name) => [name, handlers.task(name)?.version ?? 1])
  }

  /** Drops the rows whose handlers have not begun, and returns their number. */
  dropWaiting(): number {
    const dropped = this.pools.all.flatMap((pool) => pool.takeAll())
    dropped.forEach((row) => this.rows.delete(row))
    return dropped.length
  }

  /** Gives back the rows that are not its own any more. Some handlers may still run: their rows stay claimed until the lease ends. */
  leave(unfinished: ReadonlyArray<Run>): Effect.Effect<void, SqlError> {
    const { parts: { store }, session: { id } } = this
    return unfinished.length === 0
      ? store.unregister(id)
      // No attempt is counted for them.
      : Effect.zipRight(
        store.begin(id, { upTo: 0, except: [], last: 0, also: [] }),
        store.unclaimOthers(id, unfinished.flatMap(({ ids }) => ids))
      )
  }

  /** Whether handlers of rows that a session has claimed may begin: other relays cannot have taken over the rows yet. */
  mayBegin(session: Session, now: number): boolean {
    return !this.isStopping && session.isAlive(now) && this.parts.outage?.isOn !== true
  }

  /**
   * Lets the rows of a run whose handler may not begin wait again, before all others. If its session is lost, they are the rows of
   * other relays.
   */
  giveBack(run: Run): void {
    if (run.session === this.session) {
      run.giveBack()
    } else {
      run.freeSlot()
      run.rows.forEach((row) => this.rows.delete(row))
    }
  }
}

/**
 * By identity: after a lost lease, a relay can hold a row that it has claimed anew beside the one that it still runs.
 *
 * @internal
 */
export class HeldRows {
  private readonly rows = new Set<ClaimedRow>()
  /** The length of all payloads. */
  bytes = 0

  get ids(): ReadonlyArray<string> {
    return Array.from(this.rows, ({ id }) => id)
  }

  except(rows: ReadonlyArray<ClaimedRow>): ReadonlyArray<ClaimedRow> {
    const excepted = new Set(rows)
    return Array.from(this.rows).filter((row) => !excepted.has(row))
  }

  add(row: ClaimedRow): void {
    this.rows.add(row)
    this.bytes += row.payload.length
  }

  delete(row: ClaimedRow): void {
    if (this.rows.delete(row)) {
      this.bytes -= row.payload.length
    }
  }
}
