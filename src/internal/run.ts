/**
 * Running the handlers of a batch of intents: in order or side by side, each bounded in time and tried again as asked.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { DispatchError, NotAttemptedError, SettleTimeoutError } from "../AirlockError.js"
import type { DispatchReason, Outcome, RunOptions } from "../Executor.js"
import type { Intent } from "../Intent.js"
import { breathe } from "./breathe.js"
import type { AnyFiber } from "./fiberRefs.js"
import { flatMapExit } from "./flatMapExit.js"
import { Batch, type Call, intentsOf } from "./gather.js"
import type { HandlerRegistry } from "./handlers.js"
import { IntentRecord } from "./intent.js"
import { rootFork } from "./position.js"
import type { Cascade } from "./scope.js"
import { Seat } from "./seat.js"

/** However it ends, there is an outcome for each intent: interrupted, it answers with what it did. @internal */
export const run = (
  handlers: HandlerRegistry,
  intents: ReadonlyArray<Intent>,
  options: RunOptions
): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.uninterruptible(Effect.withFiberRuntime((fiber) => {
    const records = recordsOf(intents)
    const calls = handlers.calls(records)
    const concurrency = Math.min(
      options.concurrency === "unbounded" ? Infinity : options.concurrency ?? 1,
      calls.length
    )
    const line = new Line(concurrency <= 1 ? [calls] : lanesOf(calls))
    const ended = (exit: Exit.Exit<void>) =>
      Effect.succeed(records.map((record) => record.outcome ?? unattempted(record, exit)))
    if (concurrency <= 1) {
      return work(handlers, line, options, fiber, ended)
    }
    const workers = Effect.forEach(
      Array.from({ length: concurrency }),
      () => Effect.uninterruptible(Effect.withFiberRuntime((fiber) => work(handlers, line, options, fiber, identity))),
      { concurrency: "unbounded", discard: true }
    )
    return flatMapExit(Effect.interruptible(workers), ended)
  }))

const recordsOf = (intents: ReadonlyArray<Intent>): ReadonlyArray<IntentRecord> => {
  for (const intent of intents) {
    if (!isRecord(intent)) {
      // One that comes from elsewhere than a scope, such as the worker of an engine, has no record yet.
      return intents.map((intent) => isRecord(intent) ? intent : recordOf(intent))
    }
    intent.outcome = undefined
  }
  // Each of them was found to be one.
  return intents as ReadonlyArray<IntentRecord>
}

/** The relay's have the handlers that led to them, too. */
const recordOf = (intent: Intent & { readonly cascade?: Cascade | undefined }): IntentRecord => {
  const { cascade, enqueuedAt, id, options, payload, scopeId, span, task } = intent
  return new IntentRecord(
    id,
    task,
    payload,
    options,
    enqueuedAt,
    scopeId,
    0,
    cascade,
    span,
    undefined,
    rootFork(),
    undefined,
    undefined
  )
}

/** Nobody else gives an intent this property. */
const isRecord = (intent: Intent): intent is IntentRecord => "outcome" in intent

const unattempted = ({ task }: IntentRecord, exit: Exit.Exit<unknown>): Outcome =>
  Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)
    ? Exit.fail(new NotAttemptedError({ task: task.name }))
    : Exit.fail(new DispatchError({ task: task.name, cause: Cause.squash(exit.cause) }))

/** Calls that wait for workers. Those of one lane are made in order. */
class Line {
  private next = 0
  private stopped = false

  constructor(private readonly lanes: ReadonlyArray<ReadonlyArray<Call>>) {}

  stop(): void {
    this.stopped = true
  }

  /** For one worker, which goes through a lane to its end. */
  taker(): () => Call | undefined {
    let lane: ReadonlyArray<Call> = []
    let at = 0
    return () => {
      while (at === lane.length && this.next < this.lanes.length) {
        lane = this.lanes[this.next++]!
        at = 0
      }
      return this.stopped ? undefined : lane[at++]
    }
  }
}

/** Calls that share an `orderingKey` share a lane; a batch brings those of all of its intents together. */
const lanesOf = (calls: ReadonlyArray<Call>): ReadonlyArray<ReadonlyArray<Call>> => {
  const joined = new Map<string, string>()
  const find = (key: string): string => {
    let root = key
    for (let next = joined.get(root); next !== undefined; next = joined.get(root)) {
      root = next
    }
    if (root !== key) {
      joined.set(key, root)
    }
    return root
  }
  const keys = calls.map((call) => intentsOf(call).flatMap(({ options }) => options.orderingKey ?? []))
  for (const [first, ...others] of keys) {
    for (const other of others) {
      if (find(other) !== find(first!)) {
        joined.set(find(other), find(first!))
      }
    }
  }
  const lanes = new Map<unknown, Array<Call>>()
  calls.forEach((call, index) => {
    const key = keys[index]![0]
    const at = key === undefined ? call : find(key)
    const lane = lanes.get(at)
    if (lane === undefined) {
      lanes.set(at, [call])
    } else {
      lane.push(call)
    }
  })
  return [...lanes.values()]
}

/** What one worker does. For an uninterruptible region, which its calls are not. */
const work = <A>(
  handlers: HandlerRegistry,
  line: Line,
  options: RunOptions,
  fiber: AnyFiber,
  ended: (exit: Exit.Exit<void>) => Effect.Effect<A>
): Effect.Effect<A> => {
  const seat = new Seat(handlers, fiber, options.executor)
  const take = line.taker()
  const first = options.attempt ?? 1
  let call = take()
  let count = 0
  const begin = () =>
    options.retry === undefined
      ? attempt(handlers, seat, call!, options, first)
      : retried(handlers, seat, call!, options, first, options.retry)
  const calls = Effect.whileLoop({
    while: () => call !== undefined,
    body: () => (++count & 0xff) === 0 ? Effect.flatMap(breathe, begin) : begin(),
    step: (outcome: Outcome) => {
      if (options.retry === undefined) {
        note(call!, outcome)
      }
      if (options.failFast === true && Exit.isFailure(outcome)) {
        line.stop()
      }
      call = take()
    }
  })
  return seat.during(calls, ended)
}

const note = (call: Call, outcome: Outcome): void => {
  if (call instanceof Batch) {
    for (const intent of call.intents) {
      intent.outcome = outcome
    }
  } else {
    call.outcome = outcome
  }
}

/** Makes a call as often as it takes, and notes what it comes to each time. */
const retried = (
  handlers: HandlerRegistry,
  seat: Seat,
  call: Call,
  options: RunOptions,
  first: number,
  schedule: Schedule.Schedule<unknown, DispatchReason>
): Effect.Effect<Outcome> =>
  Effect.flatMap(Schedule.driver(schedule), (driver) => {
    const again = (call: Call, number: number): Effect.Effect<Outcome> =>
      Effect.flatMap(attempt(handlers, seat, call, options, number), (outcome) => {
        // Who is interrupted while it waits for its next attempt failed in its last.
        note(call, outcome)
        const left = Exit.isSuccess(outcome) ? undefined : leftAfter(call, number)
        const reason = Exit.isSuccess(outcome) ? undefined : reasonOf(outcome)
        return left === undefined || reason === undefined || reason._tag === "UnknownTaskError"
          ? Effect.succeed(outcome)
          // A schedule that dies ends it too.
          : Effect.flatMap(
            Effect.exit(driver.next(reason)),
            (next) => Exit.isSuccess(next) ? again(left, number + 1) : Effect.succeed(outcome)
          )
      })
    return again(call, first)
  })

/** What may be tried again: its `maxAttempts` takes an intent out of a batch. */
const leftAfter = (call: Call, attempts: number): Call | undefined => {
  const mayBe = ({ options }: IntentRecord) => attempts < (options.maxAttempts ?? Infinity)
  if (!(call instanceof Batch)) {
    return mayBe(call) ? call : undefined
  }
  const entries = call.entries.filter(({ intents }) => intents.every(mayBe))
  return entries.length === 0 || call.defect !== undefined ? undefined : new Batch(call.registration, entries)
}

const attempt = (
  handlers: HandlerRegistry,
  seat: Seat,
  call: Call,
  { executor, timeout }: RunOptions,
  number: number
): Effect.Effect<Outcome> => {
  if (timeout === undefined) {
    return seat.run(call, number)
  }
  const alone = Effect.uninterruptible(Effect.withFiberRuntime<Outcome>((fiber) => {
    const seat = new Seat(handlers, fiber, executor)
    return seat.during(Effect.suspend(() => seat.run(call, number)), identity)
  }))
  // A handler that does not end when it is interrupted is left to itself.
  return Effect.timeoutTo(Effect.disconnect(alone), {
    duration: timeout,
    onSuccess: identity,
    onTimeout: (): Outcome =>
      Exit.fail(
        new SettleTimeoutError({
          what: `The handler of "${intentsOf(call)[0]!.task.name}"`,
          millis: Duration.toMillis(timeout)
        })
      )
  })
}

const reasonOf = (outcome: Exit.Failure<void, DispatchReason>): DispatchReason =>
  Option.getOrThrow(Cause.failureOption(outcome.cause))
