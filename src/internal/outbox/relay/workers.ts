/**
 * Runs the handlers of a relay, and limits the time of each.
 *
 * A worker is a fiber that runs one handler after the other. When its handler waits for something, another worker goes on with the
 * next run. So handlers that do not wait share one fiber, and each of the others has its own.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SettleTimeoutError } from "../../../AirlockError.js"
import type { Outcome } from "../../contract/executor.js"
import { startFiber } from "../../support/effectInternals.js"
import { Wakeup } from "../../support/wakeup.js"
import type { RunSource } from "./handlers.js"
import * as report from "./report.js"
import type { Results } from "./results.js"
import type { Run, Worker } from "./run.js"
import type { RelayState } from "./state.js"

/** The time that interrupted handlers have to end. */
const grace = Duration.seconds(1)

/** @internal */
export class Workers {
  /** The runs whose handlers begin next, the first one last. */
  private readonly next: Array<Run> = []
  /** When the first time limit ends of which the sweep knows. */
  private sweepAt = Infinity
  private readonly ended = new Wakeup()

  constructor(private readonly state: RelayState, private readonly results: Results) {}

  /** Begins the handlers of some runs. If the lease has ended meanwhile, the rest goes back to its pools. */
  start(runs: ReadonlyArray<Run>): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      // The next run is the last item.
      for (let i = runs.length - 1; i >= 0; i--) {
        this.next.push(runs[i]!)
      }
      while (this.next.length > 0 && this.state.mayBegin(this.next[0]!.session, this.state.now())) {
        const worker: Worker = { fiber: undefined }
        worker.fiber = startFiber(this.state.parts.handlers.work(this.source(worker)), fiber, runtimeFlags)
      }
      // From the last one on, so that they wait in their order.
      this.next.splice(0).forEach((run) => this.state.giveBack(run))
      return Effect.void
    })
  }

  private source(worker: Worker): RunSource {
    return {
      next: () => {
        const now = this.state.now()
        const run = this.next[this.next.length - 1]
        if (run === undefined || !this.state.mayBegin(run.session, now)) {
          return undefined
        }
        this.next.pop()
        this.begun(run, worker, now)
        return run
      },
      ended: (run, outcomes) => this.end(run, outcomes),
      refused: (run) => this.refuse(run),
      transact: (run, handler) => this.transact(run, handler)
    }
  }

  private begun(run: Run, worker: Worker, now: number): void {
    run.worker = worker
    run.deadline = now + run.timeoutMillis
    this.state.runs.add(run)
    if (run.deadline < this.sweepAt) {
      this.state.sweeping.wake()
    }
  }

  /** Stores the outcomes of a run and frees its slot, unless its time was up before. */
  private end(run: Run, outcomes: ReadonlyArray<Outcome>): void {
    if (!this.state.runs.delete(run)) {
      return
    }
    run.freeSlot()
    run.rows.forEach((row, index) => {
      const outcome = outcomes[index]!
      if (run.isAcknowledged) {
        this.results.forget([{ row }])
      } else if (Exit.isSuccess(outcome)) {
        this.results.succeed({ session: run.session, row })
      } else {
        this.results.fail({ session: run.session, row, cause: outcome.cause })
      }
    })
    this.state.beginning.wake()
    this.state.claiming.wake()
    if (this.state.isStopping) {
      this.ended.wake()
    }
  }

  /** The engine took nothing of a run. */
  private refuse(run: Run): boolean {
    if (!this.state.runs.delete(run)) {
      return false
    }
    this.state.giveBack(run)
    if (this.state.isStopping) {
      this.ended.wake()
    }
    return true
  }

  /** Runs a handler in a transaction that also acknowledges its rows. */
  transact(run: Run, handler: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> {
    const { parts: { acknowledge, transaction }, settings } = this.state
    const acknowledged = Effect.filterOrFail(
      acknowledge(run.session.id, run.ids, { keepDone: settings.keepDone !== undefined }),
      ({ length }) => length === run.rows.length,
      () => new Error("The lease of the relay ended while the handler ran, so its transaction was rolled back")
    )
    return Effect.tap(transaction(Effect.zipLeft(handler, acknowledged)), () => {
      run.isAcknowledged = true
      return report.acknowledged(run.rows.length)
    })
  }

  /** Interrupts the handlers whose time is up, and waits until the time of the next one may be. */
  readonly sweep: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.state.now()
    this.sweepAt = Infinity
    for (const run of this.state.runs) {
      if (run.deadline <= now) {
        this.timeOut(run)
      } else {
        this.sweepAt = Math.min(this.sweepAt, run.deadline)
      }
    }
    const { wait } = this.state.sweeping
    return this.sweepAt === Infinity ? wait : Effect.asVoid(Effect.timeoutOption(wait, this.sweepAt - now))
  })

  private timeOut(run: Run): void {
    const error = new SettleTimeoutError({
      what: `The handler of "${run.rows[0]!.task}"`,
      millis: run.timeoutMillis
    })
    this.end(run, run.rows.map(() => Exit.fail(error)))
    run.worker?.fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  /** Waits until no handler runs. */
  readonly idle: Effect.Effect<void> = Effect.suspend(() =>
    this.state.runs.size === 0 ? Effect.void : Effect.zipRight(this.ended.wait, this.idle)
  )

  /** Interrupts all handlers. Their outcomes do not count. Returns the runs that did not end. */
  readonly interruptAll: Effect.Effect<ReadonlyArray<Run>> = Effect.suspend(() => {
    const runs = [...this.state.runs]
    this.state.runs.clear()
    const fibers = runs.flatMap(({ worker }) => worker?.fiber ?? [])
    return Fiber.interruptAll(fibers).pipe(
      Effect.interruptible,
      Effect.timeoutOption(grace),
      Effect.map(() => runs.filter(({ worker }) => worker?.fiber?.unsafePoll() === null))
    )
  })
}
