/**
 * The slots in which handlers run, and the claimed rows that wait for one. A queue with a limit of its own is a pool; all other
 * queues share one. So a slow queue delays only itself.
 *
 * @internal
 */
import type { ClaimedRow } from "../store/row.js"
import { anyQueue, type RelaySettings } from "./settings.js"

/** How many rows one run takes. @internal */
export interface Batching {
  readonly maxBatch: (task: string) => number
  /** Whether one run may have rows of several tasks. Default: `false`. */
  readonly mixesTasks?: boolean
}

/** @internal */
export class Pool {
  /** How many handlers run, or begin now. */
  running = 0
  /** When its last row began, as a number of turns. */
  turn = 0
  /** How many rows have been run since the last claim, and between the two claims before. */
  private ended = 0
  private pace = 0
  /** Claimed rows, in order, whose handlers have not begun: those from `first` on. */
  private rows: ReadonlyArray<ClaimedRow> = []
  private first = 0
  /** When the first of them began to wait for its turn. */
  private since = 0

  constructor(readonly limit: number) {}

  get waiting(): number {
    return this.rows.length - this.first
  }

  /** Which part of its slots is in use. */
  get load(): number {
    return this.running / this.limit
  }

  get waitingRows(): ReadonlyArray<ClaimedRow> {
    return this.rows.slice(this.first)
  }

  /** Handlers of some rows have ended. */
  free(rows: number): void {
    this.running--
    this.ended += rows
  }

  /** Begins a claim. If the last one is long ago, nothing can be said about the pace. */
  claims(isFast: boolean): void {
    this.pace = isFast ? Math.max(this.ended, this.pace / 2) : 0
    this.ended = 0
  }

  /** How many rows to hold ready: so many that none of the handlers waits for the next claim. */
  get ahead(): number {
    return 2 * Math.round(Math.max(this.ended, this.pace))
  }

  add(rows: ReadonlyArray<ClaimedRow>, now: number): void {
    this.since = this.waiting === 0 ? now : this.since
    this.rows = [...this.takeAll(), ...rows]
  }

  /** Adds rows in front of all others. */
  giveBack(rows: ReadonlyArray<ClaimedRow>): void {
    this.rows = [...rows, ...this.takeAll()]
  }

  /** Takes the first row, and with it as many as one run takes: of the same task, unless a run may mix tasks. */
  takeRun(
    handlers: Batching,
    now: number
  ): ReadonlyArray<ClaimedRow> {
    this.since = now
    const { task } = this.rows[this.first]!
    const end = Math.min(this.rows.length, this.first + handlers.maxBatch(task))
    let next = this.first + 1
    while (next < end && (handlers.mixesTasks === true || this.rows[next]!.task === task)) {
      next++
    }
    return this.takeUntil(next)
  }

  /** Takes all rows if none has begun since this time: other relays may have free slots. */
  takeStale(before: number): ReadonlyArray<ClaimedRow> {
    return this.waiting > 0 && this.since < before ? this.takeAll() : []
  }

  takeAll(): ReadonlyArray<ClaimedRow> {
    const taken = this.takeUntil(this.rows.length)
    this.rows = []
    this.first = 0
    return taken
  }

  private takeUntil(next: number): ReadonlyArray<ClaimedRow> {
    const taken = this.rows.slice(this.first, next)
    this.first = next
    return taken
  }
}

/** @internal */
export class Pools {
  readonly all: ReadonlyArray<Pool>
  private readonly byQueue: ReadonlyMap<string, Pool>
  private turns = 0

  constructor(private readonly settings: Pick<RelaySettings, "queues" | "concurrency" | "batchSize">) {
    this.byQueue = new Map([...settings.queues].map(([queue, limit]) => [queue, new Pool(limit)]))
    this.all = [...this.byQueue.values()]
  }

  /** The pool of a queue. `undefined` if the relay does not serve it. */
  of(queue: string): Pool | undefined {
    return this.byQueue.get(queue) ?? this.byQueue.get(anyQueue)
  }

  /** How many more handlers of a pool can begin. */
  free(pool: Pool): number {
    const running = this.all.reduce((sum, { running }) => sum + running, 0)
    return Math.min(pool.limit - pool.running, this.settings.concurrency - running)
  }

  /**
   * The pool whose first row begins next: the one that uses the least of its limit, and of those the one whose turn was longest
   * ago. So no queue takes all slots from another. `undefined` if no row waits that has a slot.
   */
  next(): Pool | undefined {
    const next = this.all.reduce<Pool | undefined>(
      (next, pool) =>
        pool.waiting > 0 && this.free(pool) > 0 &&
          (next === undefined || (pool.load - next.load || pool.turn - next.turn) < 0)
          ? pool
          : next,
      undefined
    )
    if (next !== undefined) {
      next.turn = ++this.turns
    }
    return next
  }

  /**
   * How many rows of a pool to claim: as many as the free slots take, and some ahead if handlers end fast. While enough rows wait,
   * none, so that there are few claims.
   */
  wanted(pool: Pool, rowsPerRun: number, isFast: boolean): number {
    const { batchSize } = this.settings
    const ahead = isFast ? pool.ahead : 0
    return pool.waiting > ahead / 2
      ? 0
      : Math.min(batchSize, this.free(pool) * Math.min(rowsPerRun, batchSize) + ahead - pool.waiting)
  }
}
