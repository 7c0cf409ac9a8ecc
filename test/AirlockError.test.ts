import { describe, expect, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Layer, Logger, Redacted } from "effect"
import { Airlock, AirlockError, AirlockLive, Executor, Policy } from "effect-airlock"
import { Step, step } from "./support/tasks.js"

class MailRefused extends Data.TaggedError("MailRefused")<{
  readonly status: bigint
  readonly key: Redacted.Redacted
  readonly cause: unknown
}> {}

function sendMail() {
  return new MailRefused({ status: 550n, key: Redacted.make("secret"), cause: new Error("ECONNREFUSED") })
}

const refusing = Step.toLayer(() => Effect.suspend(() => Effect.fail(sendMail()))).pipe(Layer.provideMerge(AirlockLive))

const failed = step("a").pipe(Airlock.scoped, Effect.flip, Effect.provide(refusing))

/** What each of the ways to show the error of a handler must contain. */
const whole = ["MailRefused", "550n", "<redacted>", "ECONNREFUSED", "at sendMail", "AirlockError.test.ts"]

const expectWhole = (text: string) => {
  for (const part of whole) {
    expect(text).toContain(part)
  }
  expect(text).not.toContain("secret")
}

describe("the error of a handler", () => {
  it.effect("is whole in a FlushError: printed, as JSON, and as a value", () =>
    Effect.gen(function*() {
      const error = yield* failed
      expectWhole(Cause.pretty(Cause.fail(error)))
      expectWhole(error.message)
      expectWhole(JSON.stringify(error))
      const [{ reason }] = error.failures as readonly [AirlockError.FlushFailure]
      expectWhole(Cause.pretty(Cause.fail(reason)))
      expectWhole(JSON.stringify(reason))
      expect(reason).toMatchObject({ _tag: "DispatchError", cause: { _tag: "MailRefused", status: 550n } })
    }))

  it.effect("is whole in the log of an executor that runs it later, and in structured logs", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.map(Logger.jsonLogger, (line) => {
          lines.push(line)
        })
      )
      yield* Effect.flatMap(failed, (error) => Effect.logError("the flush failed", error)).pipe(Effect.provide(logger))
      yield* step("a").pipe(
        Airlock.scoped,
        Effect.provide(refusing.pipe(
          Layer.provide(Executor.layer(Executor.background())),
          Layer.provide(logger)
        ))
      ).pipe(Effect.provide(logger))
      expect(lines.length).toBe(2)
      lines.forEach(expectWhole)
    }))

  it.effect("keeps the defects of its finalizers", () =>
    Effect.gen(function*() {
      const handler = Effect.zipRight(Effect.addFinalizer(() => Effect.die("not closed")), Effect.fail("no"))
      const error = yield* step("a").pipe(
        Airlock.scoped,
        Effect.flip,
        Effect.provide(Step.toLayer(() => handler).pipe(Layer.provideMerge(AirlockLive)))
      )
      expect(error.failures[0]!.reason).toMatchObject({ cause: "no", also: ["not closed"] })
      expect(error.message).toContain("[also]: not closed")
    }))

  it.effect("has its stack for the first reasons of a FlushError, and its headline for all", () =>
    Effect.gen(function*() {
      const error = yield* Effect.forEach(Array.from({ length: 30 }), () => step("a")).pipe(
        Airlock.scoped,
        Effect.flip,
        Effect.provide(refusing)
      )
      expect(error.message.split("MailRefused").length - 1).toBe(30)
      expect(error.message.split("[cause]").length - 1).toBe(10)
    }))
})

it.effect("the error of a policy is whole in a FlushError", () =>
  Effect.gen(function*() {
    const policy = Policy.make({ name: "broken", allows: () => Effect.suspend(() => Effect.die(sendMail())) })
    const error = yield* step("a").pipe(Airlock.scoped({ policy }), Effect.flip, Effect.provide(refusing))
    expectWhole(error.message)
    expectWhole(JSON.stringify(error.failures[0]!.reason))
  }))

it("a FlushError shows that its body succeeded, and not the value of the body", () => {
  const exit = Exit.succeed({ id: 1n, password: "s3cret" })
  const error = new AirlockError.FlushError({ scope: "order", failures: [], exit })
  expect(JSON.parse(JSON.stringify(error))).toMatchObject({ exit: { _tag: "Success" } })
  expect(`${JSON.stringify(error)} ${error}`).not.toContain("s3cret")
})
