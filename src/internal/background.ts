/**
 * Carrying batches after their scopes have settled.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { type FlushFailure, NotAttemptedError } from "../AirlockError.js"
import type { Executor, Handlers, Outcome } from "../Executor.js"
import type { Intent } from "../Intent.js"
import { bounded } from "./bounded.js"
import { outcomeOf, reasonOf } from "./dispatch.js"
import { Permits } from "./permits.js"
import { batchIn, inBatch } from "./position.js"
import * as report from "./report.js"

/** How long what is interrupted at the end of the shutdown may still take to answer. */
const grace = Duration.seconds(1)

/** @internal */
export const dispatch = (
  executor: Executor,
  concurrency: number,
  capacity: number,
  waitUntilIn: (context: Context.Context<never>) => ((work: Promise<void>) => void) | undefined
): Executor["dispatch"] => {
  const room = new Permits(capacity)
  const turns = new Permits(concurrency)
  const holds = new WeakMap<Handlers, Hold>()
  const holdFor = (handlers: Handlers): Hold => {
    let hold = holds.get(handlers)
    if (hold === undefined) {
      hold = new Hold(executor, handlers)
      holds.set(handlers, hold)
    }
    return hold
  }
  const carry = (batch: Batch, handlers: Handlers): Effect.Effect<ReadonlyArray<Outcome>> =>
    Effect.flatMap(turns.take(1), (taken) => {
      const { intents } = batch
      if (!taken) {
        return Effect.succeed(intents.map(unattempted))
      }
      batch.onEnd(() => turns.give(1))
      return Effect.map(Effect.exit(Effect.suspend(() => executor.dispatch(intents, handlers))), (exit) => {
        const outcomes = Exit.isSuccess(exit) ? exit.value : []
        return intents.map((intent, index) => outcomes[index] ?? Exit.fail(reasonOf(executor, intent, exit, undefined)))
      })
    })
  return (intents, handlers) =>
    Effect.withFiberRuntime((fiber) => {
      // A batch that is larger than the room has all of it to itself.
      const count = Math.min(intents.length, capacity)
      const around = batchIn(fiber)
      if (around instanceof Batch) {
        // What handlers enqueue cannot wait for room: their own batch has it until they end.
        room.overdraw(count)
      }
      return Effect.flatMap(around instanceof Batch ? Effect.succeed(true) : room.take(count), (taken) => {
        if (!taken) {
          return Effect.succeed(intents.map(unattempted))
        }
        const batch = new Batch(intents)
        const hold = holdFor(handlers)
        batch.onEnd(() => room.give(count))
        hold.add(batch)
        if (around instanceof Batch) {
          around.inner.push(batch)
        }
        const carried = Effect.flatMap(carry(batch, handlers), (outcomes) => hold.carried(batch, outcomes))
        return Effect.flatMap(Effect.forkDaemon(inBatch(carried, batch)), (carrier) => {
          batch.carrier = carrier
          return Effect.as(tellHost(waitUntilIn(fiber.currentContext), batch), intents.map(() => Exit.void))
        })
      })
    })
}

/** What the host's function does is no reason to say that the intents were not taken. */
const tellHost = (
  waitUntil: ((work: Promise<void>) => void) | undefined,
  batch: Batch
): Effect.Effect<void> =>
  waitUntil === undefined ? Effect.void : Effect.try(() => waitUntil(batch.whole())).pipe(
    Effect.catchAll(({ error }) => Effect.logWarning("Airlock could not tell the host that work goes on", error))
  )

const unattempted = ({ task }: Intent): Outcome => Exit.fail(new NotAttemptedError({ task: task.name }))

class Batch {
  carrier: Fiber.RuntimeFiber<void> | undefined
  /** What became of its intents, once that is known. */
  outcomes: ReadonlyArray<Outcome> = []
  /** Whether the shutdown no longer waited for it, and has named it. */
  abandoned = false
  /** Those of what its handlers enqueued. */
  readonly inner: Array<Batch> = []
  private ended = false
  private readonly listeners: Array<() => void> = []

  constructor(readonly intents: ReadonlyArray<Intent>) {}

  onEnd(listener: () => void): void {
    if (this.ended) {
      listener()
    } else {
      this.listeners.push(listener)
    }
  }

  end(): void {
    this.ended = true
    for (const listener of this.listeners.splice(0)) {
      listener()
    }
  }

  /** Until it, and all that its handlers enqueued, has been carried. */
  async whole(): Promise<void> {
    await new Promise<void>((resolve) => this.onEnd(resolve))
    await Promise.all(this.inner.map((batch) => batch.whole()))
  }
}

/** What is held for the handlers of one Airlock. */
class Hold {
  private readonly batches = new Set<Batch>()
  private forgetFinish = () => {}

  constructor(private readonly executor: Executor, private readonly handlers: Handlers) {}

  add(batch: Batch): void {
    if (this.batches.size === 0) {
      this.forgetFinish = this.handlers.onClose(this.finish)
    }
    this.batches.add(batch)
    batch.onEnd(() => {
      this.batches.delete(batch)
      if (this.batches.size === 0) {
        this.forgetFinish()
      }
    })
  }

  carried(batch: Batch, outcomes: ReadonlyArray<Outcome>): Effect.Effect<void> {
    batch.outcomes = outcomes
    batch.end()
    return batch.abandoned ? Effect.void : report.failed(this.failuresOf(batch))
  }

  private failuresOf({ intents, outcomes }: Batch): ReadonlyArray<FlushFailure> {
    return intents.flatMap((intent, index) => {
      const outcome = outcomes[index] ?? outcomeOf(intent) ?? unattempted(intent)
      return Exit.isSuccess(outcome)
        ? []
        : [{ intentId: intent.id, task: intent.task.name, reason: reasonOf(this.executor, intent, undefined, outcome) }]
    })
  }

  /** Handlers that are finished may enqueue: it is done when nothing is held any more. */
  private readonly emptied = Effect.interruptible(Effect.whileLoop({
    while: () => this.batches.size > 0,
    body: () =>
      Effect.async<void>((resume) => {
        for (const batch of this.batches) {
          batch.onEnd(() => resume(Effect.void))
          return
        }
      }),
    step: () => {}
  }))

  private readonly finish = (limit: Duration.Duration): Effect.Effect<void> =>
    Effect.flatMap(
      bounded(this.emptied, undefined, "What is held", limit),
      ({ timeout }) => timeout === undefined ? Effect.void : this.abandon
    )

  /** What is left is interrupted, has a moment to answer, and is named: why it failed, or that it was not finished. */
  private readonly abandon: Effect.Effect<void> = Effect.suspend(() => {
    const left = new Set<Batch>()
    const interrupt = Effect.suspend(() => {
      const more = [...this.batches].filter((batch) => !left.has(batch))
      for (const batch of more) {
        left.add(batch)
        batch.abandoned = true
      }
      return Effect.forEach(more, ({ carrier }) => carrier === undefined ? Effect.void : Fiber.interruptFork(carrier), {
        discard: true
      })
    })
    return interrupt.pipe(
      Effect.zipRight(bounded(this.emptied, undefined, "What is held", grace)),
      // What their handlers enqueued meanwhile.
      Effect.zipRight(interrupt),
      Effect.zipRight(Effect.suspend(() => {
        const failures = [...left].flatMap((batch) => this.failuresOf(batch))
        for (const batch of left) {
          batch.end()
        }
        const isUnfinished = ({ reason }: FlushFailure) => reason._tag === "NotAttemptedError"
        return Effect.zipRight(
          report.failed(failures.filter((failure) => !isUnfinished(failure))),
          report.unfinished(failures.filter(isUnfinished))
        )
      }))
    )
  })
}
