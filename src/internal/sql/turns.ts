/**
 * Savepoints side by side on one connection take turns: two that overlap would undo each other's work.
 *
 * A turn that never comes would be a silent deadlock: the savepoint that has it waits, perhaps, for the fiber that wants
 * it. Nobody can tell that from a slow one, so the wait is bounded.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { SavepointTimeoutError } from "../../AirlockError.js"
import { withCallersStack } from "../callSite.js"

const limit = Duration.seconds(30)

interface Turn {
  readonly awaited: Deferred.Deferred<void>
  came: boolean
}

/** @internal */
export class Turns {
  private taken = false
  private readonly waiting: Array<Turn> = []

  /** Only for an uninterruptible region, which may restore the wait. Whoever has the turn must give it back. */
  take(restore: <A>(self: Effect.Effect<A>) => Effect.Effect<A>): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      if (!this.taken) {
        this.taken = true
        return Effect.void
      }
      const turn: Turn = { awaited: Deferred.unsafeMake(fiber.id()), came: false }
      this.waiting.push(turn)
      return Effect.flatMap(
        this.expire(turn),
        (timer) =>
          Effect.onExit(restore(Deferred.await(turn.awaited)), (exit) => {
            this.leave(turn)
            if (turn.came && Exit.isFailure(exit)) {
              // It came when whoever waited had been interrupted.
              this.give()
            }
            return Fiber.interruptFork(timer)
          })
      )
    })
  }

  give(): void {
    const next = this.waiting.shift()
    if (next === undefined) {
      this.taken = false
    } else {
      next.came = true
      Deferred.unsafeDone(next.awaited, Exit.void)
    }
  }

  private leave(turn: Turn): boolean {
    const index = this.waiting.indexOf(turn)
    return index >= 0 && this.waiting.splice(index, 1).length === 1
  }

  /** No `Effect.timeout`: an interruption would reach what it races, even in an uninterruptible region. */
  private expire(turn: Turn) {
    return Effect.sleep(limit).pipe(
      Effect.map(() => {
        if (this.leave(turn)) {
          const error = new SavepointTimeoutError({ millis: Duration.toMillis(limit) })
          Deferred.unsafeDone(turn.awaited, Exit.die(withCallersStack(error)))
        }
      }),
      Effect.interruptible,
      Effect.forkDaemon
    )
  }
}
