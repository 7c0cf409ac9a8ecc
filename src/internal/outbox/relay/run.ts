/**
 * One run: a claimed row and its intent, or several rows that a batched handler gets in one call.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Intent } from "../../../Intent.js"
import type { Work } from "../../contract/executor.js"
import type { AnyFiber } from "../../support/effectInternals.js"
import type { ClaimedRow } from "../store/row.js"
import type { Pool } from "./pools.js"
import type { Session } from "./session.js"

/** A fiber that runs handlers. @internal */
export interface Worker {
  /** Absent until its first handler waits for something or ends. */
  fiber: AnyFiber | undefined
}

/** @internal */
export class Run implements Work {
  /** The rows that are run, and their intents: those that could be decoded. */
  readonly rows: Array<ClaimedRow> = []
  readonly intents: Array<Intent> = []
  readonly timeoutMillis: number
  /** The worker that runs it, as soon as its handler has begun. */
  worker: Worker | undefined
  /** When its time is up, by the monotonic clock in milliseconds. */
  deadline = Infinity
  /** Whether its own transaction has acknowledged its rows. */
  isAcknowledged = false

  /** Takes a slot of the pool. */
  constructor(
    readonly session: Session,
    private readonly pool: Pool,
    timeout: Duration.DurationInput
  ) {
    this.timeoutMillis = Duration.toMillis(timeout)
    pool.running++
  }

  add(row: ClaimedRow, intent: Intent): void {
    this.rows.push(row)
    this.intents.push(intent)
  }

  get ids(): ReadonlyArray<string> {
    return this.rows.map(({ id }) => id)
  }

  /** The handler has ended, or there is nothing to run. */
  freeSlot(rows = this.rows.length): void {
    this.pool.free(rows)
  }

  /** The handler may not begin: the rows wait again. */
  giveBack(): void {
    this.pool.running--
    this.pool.giveBack(this.rows)
  }

  readonly attemptOf = ({ id }: Pick<Intent, "id">): number =>
    1 + (this.rows.length === 1 ? this.rows[0]! : this.rows.find((row) => row.id === id)!).attempt
}
