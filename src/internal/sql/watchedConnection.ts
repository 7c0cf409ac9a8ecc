/**
 * The connection that stands in Effect's transaction tag: the driver's own, watched for what a transaction must know at
 * its end, and closed to whoever still holds it when the transaction has ended.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { TransactionEndedError } from "../../AirlockError.js"
import { withCallersStack } from "../callSite.js"
import { type Dialect, rolledBackBy, run } from "./dialect.js"

type TransformRows = Parameters<Connection["execute"]>[2]

/** @internal */
export class WatchedConnection implements Connection {
  /** Whether the transaction has ended: the connection may be another's by now. */
  ended = false
  /** Why the database holds nothing of the transaction any more, though it has not ended yet. */
  lost: SqlError | undefined = undefined
  /** The first statement that failed and has not been undone, for whoever asks why there was no commit. */
  firstFailure: SqlError | undefined = undefined
  /** How many statements have begun, since all was known to be well, and have not succeeded. */
  private unsettled = 0
  private epoch = 0

  constructor(
    readonly driver: Connection,
    readonly dialect: Dialect,
    /** What the clients of one database share. */
    readonly database: unknown
  ) {}

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.watch(() => this.driver.execute(sql, params, transformRows))
  }
  executeRaw(sql: string, params: ReadonlyArray<unknown>) {
    return this.watch(() => this.driver.executeRaw(sql, params))
  }
  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.watch(() => this.driver.executeValues(sql, params))
  }
  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.watch(() => this.driver.executeUnprepared(sql, params, transformRows))
  }
  executeStream(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return Stream.unwrap(Effect.suspend(() => {
      const refusal = this.refusal()
      if (refusal !== undefined) {
        return refusal
      }
      const epoch = this.begin()
      return Effect.succeed(Stream.ensuringWith(
        this.driver.executeStream(sql, params, transformRows),
        Exit.match({
          onFailure: (cause) =>
            cause._tag === "Fail" && cause.error instanceof SqlError ? this.failed(cause.error) : Effect.void,
          onSuccess: () => Effect.sync(() => this.succeeded(epoch))
        })
      ))
    }))
  }

  /** Undoes what was done since a savepoint. Where that cannot be, the whole transaction is to be undone. */
  rollbackTo(savepoint: string): Effect.Effect<void> {
    return this.ended || this.lost !== undefined
      ? Effect.void
      : Effect.match(run(this.driver, `ROLLBACK TO SAVEPOINT ${savepoint}`), {
        onFailure: (error) => {
          this.lost ??= error
        },
        onSuccess: () => this.allIsWell()
      })
  }

  /** Fails where a body that succeeded is not to count as a success. */
  readonly doubt: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    if (this.lost !== undefined || this.ended || this.unsettled === 0 || !this.dialect.refusesWhatFollows) {
      return this.lost === undefined ? Effect.void : Effect.fail(this.lost)
    }
    return Effect.flatMap(this.dialect.stands(this.driver), (stands) => {
      if (!stands) {
        return Effect.fail(rolledBackBy(this.firstFailure))
      }
      this.allIsWell()
      return Effect.void
    })
  })

  private watch<A>(statement: () => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      const refusal = this.refusal()
      if (refusal !== undefined) {
        return refusal
      }
      const epoch = this.begin()
      const watched = Effect.matchEffect(statement(), {
        onFailure: (error) => Effect.zipRight(this.failed(error), Effect.fail(error)),
        onSuccess: (result) => {
          this.succeeded(epoch)
          return Effect.succeed(result)
        }
      })
      return this.dialect.cancels ? watched : Effect.uninterruptible(watched)
    })
  }

  private refusal(): Effect.Effect<never, SqlError> | undefined {
    return this.ended
      ? Effect.die(withCallersStack(new TransactionEndedError()))
      : this.lost === undefined
      ? undefined
      : Effect.fail(this.lost)
  }

  private begin(): number {
    this.unsettled++
    return this.epoch
  }

  private succeeded(epoch: number): void {
    if (epoch === this.epoch) {
      this.unsettled--
    }
  }

  private failed(error: SqlError): Effect.Effect<void> {
    this.firstFailure ??= error
    return this.ended || this.dialect.refusesWhatFollows
      ? Effect.void
      : Effect.map(Effect.exit(this.dialect.stands(this.driver)), (stands) => {
        if (Exit.isFailure(stands) || !stands.value) {
          this.lost ??= rolledBackBy(error)
        }
      })
  }

  private allIsWell(): void {
    this.epoch++
    this.unsettled = 0
    this.firstFailure = undefined
  }
}
