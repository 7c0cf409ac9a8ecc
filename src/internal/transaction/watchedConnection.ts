/**
 * The connection in Effect's transaction tag. It passes statements on to the driver's connection, and notes those that failed,
 * because they can keep the transaction from committing. When the transaction has ended, it refuses all statements.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { TransactionEndedError } from "../../AirlockError.js"
import { withCallersStack } from "../support/callSite.js"
import { type Driver, execute, rolledBackBy } from "./driver.js"

type TransformRows = Parameters<Connection["execute"]>[2]

/** @internal */
export class WatchedConnection implements Connection {
  /** Whether the transaction has ended. The connection may then belong to another transaction. */
  ended = false
  /** The error with which the database has rolled the transaction back, while its body still runs. */
  lost: SqlError | undefined = undefined
  /** The error of the first statement that failed and was not rolled back: the cause of a refused COMMIT. */
  firstFailure: SqlError | undefined = undefined
  /** How many statements have begun and not succeeded since the transaction was last known to be intact. */
  private unsettled = 0
  /** How often the transaction was known to be intact. A statement that began before the last time no longer counts. */
  private epoch = 0

  constructor(
    readonly raw: Connection,
    readonly driver: Driver,
    /** The `reserve` of the client, which identifies the database: all clients of one database share it. */
    readonly database: unknown
  ) {}

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.watch(() => this.raw.execute(sql, params, transformRows))
  }
  executeRaw(sql: string, params: ReadonlyArray<unknown>) {
    return this.watch(() => this.raw.executeRaw(sql, params))
  }
  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.watch(() => this.raw.executeValues(sql, params))
  }
  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.watch(() => this.raw.executeUnprepared(sql, params, transformRows))
  }
  executeStream(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return Stream.unwrap(Effect.suspend(() => {
      const refusal = this.refusal()
      if (refusal !== undefined) {
        return refusal
      }
      const epoch = this.begin()
      return Effect.succeed(Stream.ensuringWith(
        this.raw.executeStream(sql, params, transformRows),
        Exit.match({
          onFailure: (cause) =>
            cause._tag === "Fail" && cause.error instanceof SqlError ? this.failed(cause.error) : Effect.void,
          onSuccess: () => Effect.sync(() => this.succeeded(epoch))
        })
      ))
    }))
  }

  /** Rolls back to a savepoint. If that fails, the whole transaction is lost. */
  rollbackTo(savepoint: string): Effect.Effect<void> {
    return this.ended || this.lost !== undefined
      ? Effect.void
      : Effect.match(execute(this.raw, `ROLLBACK TO SAVEPOINT ${savepoint}`), {
        onFailure: (error) => {
          this.lost ??= error
        },
        onSuccess: () => this.markIntact()
      })
  }

  /** Fails if the database has rolled back, even though the body of the savepoint succeeded. */
  readonly verify: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    if (this.lost !== undefined || this.ended || this.unsettled === 0 || !this.driver.refusesAfterFailure) {
      return this.lost === undefined ? Effect.void : Effect.fail(this.lost)
    }
    return Effect.flatMap(this.driver.isOpen(this.raw), (isOpen) => {
      if (!isOpen) {
        return Effect.fail(rolledBackBy(this.firstFailure))
      }
      this.markIntact()
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
      return this.driver.cancels ? watched : Effect.uninterruptible(watched)
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
    return this.ended || this.driver.refusesAfterFailure
      ? Effect.void
      : Effect.map(Effect.exit(this.driver.isOpen(this.raw)), (isOpen) => {
        if (Exit.isFailure(isOpen) || !isOpen.value) {
          this.lost ??= rolledBackBy(error)
        }
      })
  }

  private markIntact(): void {
    this.epoch++
    this.unsettled = 0
    this.firstFailure = undefined
  }
}
