/**
 * Runs handlers for a worker that is not bound to one batch, such as the relay of an outbox: in one fiber, one call after the
 * other, for as long as there is more work.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Outcome, Work, WorkSource } from "../contract/executor.js"
import { type IntentRecord, recordsOf } from "../scope/intentRecord.js"
import { yieldToEventLoop } from "../support/yieldToEventLoop.js"
import { type Call, noteOutcome } from "./calls.js"
import { HandlerRunner, type RunnerHandlers } from "./runner.js"

/** Ends when there is no more work. If it is interrupted, it interrupts the handler that runs. @internal */
export const runWork = <W extends Work>(
  handlers: RunnerHandlers,
  callsOf: (intents: ReadonlyArray<IntentRecord>) => ReadonlyArray<Call>,
  source: WorkSource<W>
): Effect.Effect<void> =>
  Effect.uninterruptible(Effect.withFiberRuntime((fiber) => {
    const { more, transact } = source
    const current = new CurrentWork(callsOf, source)
    const runner = new HandlerRunner(
      handlers,
      fiber,
      undefined,
      transact && ((_, handler) => transact(current.work!, handler))
    )
    let count = 0
    const run = () => runner.run(current.call, current.work!.attemptOf)
    const running = Effect.whileLoop({
      while: () => current.work !== undefined,
      body: () => (++count & 0xff) === 0 ? Effect.flatMap(yieldToEventLoop, run) : run(),
      step: (outcome: Outcome) => current.ended(outcome)
    })
    current.begin()
    const untilEnd = more === undefined ? running : repeatWhile(Effect.zipRight(running, more), () => current.begin())
    return runner.during(untilEnd, (exit) => Effect.sync(() => current.stop(exit)))
  }))

const repeatWhile = (self: Effect.Effect<boolean>, again: () => void): Effect.Effect<void> =>
  Effect.suspend(() => {
    let isDone = false
    return Effect.whileLoop({
      while: () => !isDone,
      body: () => self,
      step: (more) => {
        isDone = !more
        if (more) {
          again()
        }
      }
    })
  })

/** The work that a worker does now, and the place in it. */
class CurrentWork<W extends Work> {
  work: W | undefined
  private records: ReadonlyArray<IntentRecord> = []
  private calls: ReadonlyArray<Call> = []
  private at = 0

  constructor(
    private readonly callsOf: (intents: ReadonlyArray<IntentRecord>) => ReadonlyArray<Call>,
    private readonly source: WorkSource<W>
  ) {}

  get call(): Call {
    return this.calls[this.at]!
  }

  begin(): void {
    this.at = 0
    this.work = this.source.next()
    this.records = this.work === undefined ? [] : recordsOf(this.work.intents)
    this.calls = this.callsOf(this.records)
  }

  ended(outcome: Outcome): void {
    noteOutcome(this.call, outcome)
    if (++this.at === this.calls.length) {
      this.source.ended(this.work!, this.records.map((record) => record.outcome!))
      this.begin()
    }
  }

  /** Reports the work that an interruption or a defect has ended. */
  stop(exit: Exit.Exit<void>): void {
    if (this.work !== undefined && Exit.isFailure(exit)) {
      this.source.ended(this.work, this.records.map((record) => record.outcome ?? exit))
      this.work = undefined
    }
  }
}
