/**
 * The signals of handlers, as they arrive in the outcome of a run.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Data, Duration, Effect, Exit, Layer, Runtime, Schema } from "effect"
import { Airlock, AirlockError, AirlockLive, Executor, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { signalOf } from "../../../src/internal/outbox/signal.js"

const Job = Task.make("Job", { payload: Schema.Void })

class Wrapped extends Data.TaggedError("Wrapped")<{ readonly cause: unknown }> {}

/** The signal in the outcome of a handler, run as a relay runs it. */
const signalled = (handler: Effect.Effect<unknown, unknown, never>) =>
  Effect.gen(function*() {
    const outcomes: Array<Exit.Exit<void, AirlockError.DispatchReason>> = []
    const noting = Executor.make({
      name: "noting",
      dispatch: (intents, handlers) =>
        Effect.tap(handlers.run(intents), (all) => Effect.sync(() => outcomes.push(...all)))
    })
    yield* Airlock.enqueue(Job, undefined).pipe(
      Airlock.scoped({ executor: noting }),
      Effect.exit,
      Effect.provide(Job.toLayer(() => handler).pipe(Layer.provideMerge(AirlockLive)))
    )
    const [outcome] = outcomes
    return outcome !== undefined && Exit.isFailure(outcome) ? signalOf(outcome.cause) : undefined
  })

const later = Outbox.retryAfter("1 minute")

describe("a signal of a handler", () => {
  const found: Record<string, Effect.Effect<unknown, unknown>> = {
    "is an Effect itself": later,
    "is yielded": Effect.gen(function*() {
      yield* later
    }),
    "is a failure": Effect.fail(later),
    "takes the place of another error": Effect.catchAll(Effect.fail("busy"), () => later),
    "is a defect": Effect.orDie(later),
    "is thrown": Effect.sync(() => {
      throw later
    }),
    "is the cause of another error": Effect.mapError(later, (cause) => new Wrapped({ cause: new Wrapped({ cause }) })),
    "is beside a defect of a finalizer": Effect.ensuring(later, Effect.die("finalizer")),
    "is beside another failure": Effect.all([Effect.fail("other"), later], { concurrency: 2, mode: "default" }).pipe(
      Effect.uninterruptible
    ),
    "rejects the Promise of a runtime": Effect.flatMap(
      Effect.runtime<never>(),
      (runtime) => Effect.tryPromise(() => Runtime.runPromise(runtime)(later))
    )
  }
  for (const [name, handler] of Object.entries(found)) {
    it.effect(`reaches the relay if it ${name}`, () =>
      Effect.gen(function*() {
        expect(yield* signalled(handler)).toBe(later)
      }))
  }

  it.effect("reaches the relay if it fails in a span", () =>
    Effect.gen(function*() {
      // Effect wraps an error that fails in a span.
      const signal = yield* signalled(Effect.withSpan(Effect.fail(later), "send"))
      expect(signal?._tag === "RetryAfter" && Duration.toMillis(signal.duration)).toBe(60_000)
    }))

  const others: Record<string, Effect.Effect<unknown, unknown>> = {
    "a success": Effect.void,
    "another failure": Effect.fail(new Error("busy")),
    "what only looks like one": Effect.fail({ _tag: "RetryAfter", duration: Duration.minutes(1) }),
    "one that the handler has caught": Effect.ignore(later),
    "one in the outcome of another handler": Effect.fail(
      new Wrapped({ cause: new AirlockError.DispatchError({ task: "Other", cause: later }) })
    ),
    "an error whose cause cannot be read": Effect.fail({
      get cause(): unknown {
        throw new Error("no cause")
      }
    })
  }
  for (const [name, handler] of Object.entries(others)) {
    it.effect(`is not ${name}`, () =>
      Effect.gen(function*() {
        expect(yield* signalled(handler)).toBeUndefined()
      }))
  }

  it("ends the search in errors that are causes of each other", () => {
    const error: { cause?: unknown } = {}
    error.cause = { cause: error }
    expect(signalOf(Cause.fail(error))).toBeUndefined()
  })

  it.effect("has what the handler said", () =>
    Effect.gen(function*() {
      const cause = new Error("busy")
      expect(yield* signalled(Outbox.retryAfter("90 seconds", { cause }))).toMatchObject({
        _tag: "RetryAfter",
        duration: Duration.seconds(90),
        cause
      })
      expect(yield* signalled(Outbox.discard("no such address", { cause }))).toMatchObject({
        _tag: "Discard",
        reason: "no such address",
        cause
      })
      expect(yield* signalled(Outbox.snooze(1000))).toMatchObject({ _tag: "Snooze", duration: Duration.seconds(1) })
    }))

  it.effect("is an ordinary failure in this process, whose message says so", () =>
    Effect.gen(function*() {
      const flushing = (handler: Effect.Effect<unknown, unknown>) =>
        Airlock.enqueue(Job, undefined).pipe(
          Airlock.scoped,
          Effect.flip,
          Effect.map(({ failures }) => failures[0]!.reason.message),
          Effect.provide(Job.toLayer(() => handler).pipe(Layer.provideMerge(AirlockLive)))
        )
      const elsewhere = "Where no relay runs the handler, this is an ordinary failure."
      expect(yield* flushing(Outbox.retryAfter("90 seconds"))).toBe(
        `Dispatching "Job" failed: RetryAfter: The handler asks the relay of the outbox for its next attempt in 1m 30s. ${elsewhere}`
      )
      expect(yield* flushing(Outbox.discard("no such address"))).toBe(
        `Dispatching "Job" failed: Discard: no such address. This asks the relay of the outbox, or the worker of an engine, for no further attempt. Elsewhere it is an ordinary failure.`
      )
      expect(yield* flushing(Outbox.snooze("1 hour"))).toBe(
        "Dispatching \"Job\" failed: Snooze: The handler asks the relay of the outbox to run it again in 1h, and not to count " +
          `this attempt. ${elsewhere}`
      )
    }))
})
