/**
 * Dispatches batches after their scopes have settled.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import { type FlushFailure, NotAttemptedError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import {
  type BackgroundOptions,
  capabilitiesOf,
  type Capability,
  type Executor,
  type Handlers,
  type Outcome
} from "../contract/executor.js"
import { callExecutor, checkAnswer, outcomeOf, reasonOf } from "../scope/dispatch.js"
import { runWithDeadline } from "../support/deadline.js"
import { groupBy } from "../support/groupBy.js"
import { Semaphore } from "../support/semaphore.js"
import { failed, tellAll, undue, unfinished } from "../telemetry/decision.js"
import { inProcess, inThisProcess } from "./make.js"

/** At the end of a shutdown, the time that interrupted batches have to end. */
const grace = Duration.seconds(1)

/** In a fiber that runs handlers, their batch: the batches that these handlers enqueue belong to it. */
const currentBatch: FiberRef.FiberRef<HeldBatch | undefined> = globalValue(
  Symbol.for("effect-airlock/currentBatch"),
  () => FiberRef.unsafeMake<HeldBatch | undefined>(undefined)
)

/** The key of the service `Executor.WaitUntil`. @internal */
export const waitUntilKey = "effect-airlock/Executor/WaitUntil"

/** @internal */
export const background = (
  { capacity = 10_000, concurrency, executor = inProcess() }: BackgroundOptions = {}
): Executor => {
  if (!(capacity >= 1) || !(concurrency === undefined || concurrency >= 1)) {
    throw new RangeError(`Executor.background needs a capacity and a concurrency of at least 1`)
  }
  const options = { executor: executor.name, ...executor.options, batches: concurrency ?? "unlimited", capacity }
  const dispatch = dispatchLater(executor, capacity, concurrency ?? Infinity)
  const { capabilities, durable, isDurable } = executor
  return {
    ...inThisProcess("background", options, dispatch),
    durable,
    isDurable,
    capabilities: typeof capabilities === "function"
      ? (intent) => [...capabilities(intent), ...times]
      : [...capabilities, ...times]
  }
}

const times: ReadonlyArray<Capability> = ["delay", "runAt"]

const dispatchLater = (executor: Executor, capacity: number, concurrency: number): Executor["dispatch"] => {
  const capacityPermits = new Semaphore(capacity)
  const dispatchPermits = new Semaphore(concurrency)
  const held = new WeakMap<Handlers, HeldBatches>()
  const heldFor = (handlers: Handlers): HeldBatches => {
    let batches = held.get(handlers)
    if (batches === undefined) {
      batches = new HeldBatches(executor, handlers)
      held.set(handlers, batches)
    }
    return batches
  }
  const dispatch = (batch: HeldBatch, handlers: Handlers): Effect.Effect<ReadonlyArray<Outcome>> =>
    Effect.flatMap(Effect.flatMap(batch.untilDue, (isDue) => isDue ? dispatchPermits.take(1) : notTaken), (taken) => {
      const { intents } = batch
      if (!taken) {
        return Effect.succeed(intents.map(notAttempted))
      }
      batch.onEnd(() => dispatchPermits.give(1))
      return Effect.map(Effect.exit(Effect.suspend(() => callExecutor(executor, intents, handlers))), (ended) => {
        const exit = checkAnswer(executor, intents, ended)
        const outcomes = Exit.isSuccess(exit) ? exit.value : []
        return intents.map((intent, index) => outcomes[index] ?? Exit.fail(reasonOf(executor, intent, exit, undefined)))
      })
    })
  return (intents, handlers) =>
    Effect.withFiberRuntime((caller) => {
      // A batch that is larger than the capacity takes all of it.
      const count = Math.min(intents.length, capacity)
      const outer = caller.getFiberRef(currentBatch)
      if (outer !== undefined) {
        // A batch that handlers enqueue must not wait for permits: the batch of the handlers returns its own when they end.
        capacityPermits.overdraw(count)
      }
      return Effect.flatMap(outer === undefined ? capacityPermits.take(count) : Effect.succeed(true), (taken) => {
        if (!taken) {
          return Effect.succeed(intents.map(notAttempted))
        }
        const batches = heldFor(handlers)
        const now = Context.unsafeGet(caller.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()
        let permits = count
        const started = Effect.forEach(batchesOf(executor, intents, now), (batch) => {
          const share = Math.min(batch.intents.length, permits)
          permits -= share
          batch.onEnd(() => capacityPermits.give(share))
          batches.add(batch)
          outer?.inner.push(batch)
          const dispatched = Effect.flatMap(dispatch(batch, handlers), (outcomes) => batches.complete(batch, outcomes))
          return Effect.flatMap(Effect.forkDaemon(Effect.locally(dispatched, currentBatch, batch)), (fiber) => {
            batch.fiber = fiber
            return tellHost(caller.currentContext.unsafeMap.get(waitUntilKey), batch)
          })
        }, { discard: true })
        return Effect.as(started, intents.map(() => Exit.void))
      })
    })
}

const notTaken: Effect.Effect<boolean> = Effect.succeed(false)

/** The intents that run at once, and those that wait for a later time, by that time. */
const batchesOf = (
  executor: Executor,
  intents: ReadonlyArray<Intent>,
  now: number
): ReadonlyArray<HeldBatch> => {
  if (!intents.some(({ options }) => options.delay !== undefined || options.runAt !== undefined)) {
    return [new HeldBatch(intents, now, now)]
  }
  const byTime = groupBy(intents, (intent) => Math.max(now, dueAt(intent, capabilitiesOf(executor, intent), now)))
  return [...byTime].sort(([a], [b]) => a - b).map(([due, intents]) => new HeldBatch(intents, due, now))
}

/** When an intent may run. An executor that waits itself gets it at once. */
const dueAt = (
  { options: { delay, runAt } }: Intent,
  capabilities: ReadonlyArray<Capability>,
  now: number
): number =>
  Math.max(
    delay === undefined || capabilities.includes("delay") ? now : now + Duration.toMillis(delay),
    runAt === undefined || capabilities.includes("runAt") ? now : runAt.getTime()
  )

/** The longest sleep: Effect's Clock runs no timer of more than 2^31 milliseconds. */
const maxSleep = 2 ** 30

const sleepUntil = (time: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now >= time
      ? Effect.void
      : Effect.zipRight(Effect.sleep(Math.min(time - now, maxSleep)), sleepUntil(time)))

/** Passes a batch to the host's `waitUntil`. If that function throws, the batch is dispatched all the same. */
const tellHost = (
  waitUntil: ((work: Promise<void>) => void) | undefined,
  batch: HeldBatch
): Effect.Effect<void> =>
  waitUntil === undefined ? Effect.void : Effect.try(() => waitUntil(batch.whole())).pipe(
    Effect.catchAll(({ error }) =>
      Effect.logWarning(
        "The waitUntil of the host threw, so the host may stop the process before all intents are dispatched",
        error
      )
    )
  )

const notAttempted = ({ task }: Intent): Outcome => Exit.fail(new NotAttemptedError({ task: task.name }))

class HeldBatch {
  /** The fiber that dispatches it. */
  fiber: Fiber.RuntimeFiber<void> | undefined
  outcomes: ReadonlyArray<Outcome> = []
  /** Whether the shutdown no longer waits for it, and reports its failures. */
  abandoned = false
  /** The batches that its handlers enqueued. */
  readonly inner: Array<HeldBatch> = []
  /** Whether its time has not come. A shutdown does not wait for that. */
  waits: boolean
  private ended = false
  private readonly listeners: Array<() => void> = []

  constructor(readonly intents: ReadonlyArray<Intent>, private readonly due: number, now: number) {
    this.waits = due > now
  }

  /** Waits for its time. Returns `false` if it is interrupted. */
  readonly untilDue: Effect.Effect<boolean> = Effect.suspend(() => {
    if (!this.waits) {
      return Effect.succeed(true)
    }
    return Effect.map(Effect.exit(Effect.interruptible(sleepUntil(this.due))), (exit) => {
      this.waits = Exit.isFailure(exit)
      return Exit.isSuccess(exit)
    })
  })

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

  /** Resolves when it and all batches that its handlers enqueued have ended. */
  async whole(): Promise<void> {
    await new Promise<void>((resolve) => this.onEnd(resolve))
    await Promise.all(this.inner.map((batch) => batch.whole()))
  }
}

/** The batches that wait or run, of the handlers of one Airlock. */
class HeldBatches {
  private readonly batches = new Set<HeldBatch>()
  private unregister = () => {}

  constructor(private readonly executor: Executor, private readonly handlers: Handlers) {}

  add(batch: HeldBatch): void {
    if (this.batches.size === 0) {
      this.unregister = this.handlers.onClose(this.finish)
    }
    this.batches.add(batch)
    batch.onEnd(() => {
      this.batches.delete(batch)
      if (this.batches.size === 0) {
        this.unregister()
      }
    })
  }

  complete(batch: HeldBatch, outcomes: ReadonlyArray<Outcome>): Effect.Effect<void> {
    batch.outcomes = outcomes
    batch.end()
    return batch.abandoned ? Effect.void : tellAll(failed, this.failuresOf(batch))
  }

  private failuresOf({ intents, outcomes }: HeldBatch): ReadonlyArray<FlushFailure> {
    return intents.flatMap((intent, index) => {
      const outcome = outcomes[index] ?? outcomeOf(intent) ?? notAttempted(intent)
      return Exit.isSuccess(outcome)
        ? []
        : [{ intentId: intent.id, task: intent.task.name, reason: reasonOf(this.executor, intent, undefined, outcome) }]
    })
  }

  private readonly firstThat = (predicate: (batch: HeldBatch) => boolean) => [...this.batches].find(predicate)

  /** Waits until there is no batch for which a predicate holds, also none that handlers enqueue while they finish. */
  private readonly untilNone = (predicate: (batch: HeldBatch) => boolean) =>
    Effect.interruptible(Effect.whileLoop({
      while: () => this.firstThat(predicate) !== undefined,
      body: () => Effect.async<void>((resume) => this.firstThat(predicate)!.onEnd(() => resume(Effect.void))),
      step: () => {}
    }))

  private readonly finish = (limit: Duration.Duration): Effect.Effect<void> =>
    Effect.flatMap(
      runWithDeadline(this.untilNone(({ waits }) => !waits), { what: "The held batches", limit }),
      () => this.batches.size === 0 ? Effect.void : this.abandon
    )

  /** Interrupts the remaining batches, gives them a moment to end, and reports their failures. */
  private readonly abandon: Effect.Effect<void> = Effect.suspend(() => {
    const abandoned = new Set<HeldBatch>()
    const waiting: Array<Intent> = []
    const interrupt = Effect.suspend(() => {
      // Handlers that close at the same time abandon together: each batch is reported by one of them.
      const more = [...this.batches].filter((batch) => !batch.abandoned)
      for (const batch of more) {
        abandoned.add(batch)
        batch.abandoned = true
        if (batch.waits) {
          waiting.push(...batch.intents)
        }
      }
      return Effect.forEach(more, ({ fiber }) => fiber === undefined ? Effect.void : Fiber.interruptFork(fiber), {
        discard: true
      })
    })
    return interrupt.pipe(
      Effect.zipRight(runWithDeadline(this.untilNone(() => true), { what: "The held batches", limit: grace })),
      // Their handlers may have enqueued meanwhile.
      Effect.zipRight(interrupt),
      Effect.zipRight(Effect.suspend(() => {
        const failures = [...abandoned].flatMap((batch) => this.failuresOf(batch))
        for (const batch of abandoned) {
          batch.end()
        }
        const waited = new Set<string>(waiting.map(({ id }) => id))
        const isUnfinished = ({ reason }: FlushFailure) => reason._tag === "NotAttemptedError"
        const [begun, undueFailures] = Arr.partition(failures, ({ intentId }) => waited.has(intentId))
        return tellAll(failed, begun.filter((failure) => !isUnfinished(failure))).pipe(
          Effect.zipRight(tellAll(unfinished, begun.filter(isUnfinished))),
          Effect.zipRight(tellAll(undue, undueFailures))
        )
      }))
    )
  })
}
