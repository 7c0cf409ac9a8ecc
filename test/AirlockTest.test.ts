import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, TestClock } from "effect"
import { Airlock, AirlockError, AirlockTest, Task } from "effect-airlock"
import { defectOf } from "./support/exits.js"

const Mail = Task.make("Mail", {
  payload: { to: Schema.String, order: Schema.Struct({ id: Schema.Number, tags: Schema.Array(Schema.String) }) }
})
const Ping = Task.make("Ping", { payload: Schema.Void })
const Dated = Task.make("Dated", { payload: { at: Schema.Date } })

const mail = (to: string, id: number) => Airlock.enqueue(Mail, { to, order: { id, tags: ["new"] } })

describe("AirlockTest.layer", () => {
  it.effect("records the intents that leave, and runs no handler", () =>
    Effect.gen(function*() {
      const Never = Mail.toLayer(() => Effect.die("not in a test"))
      yield* mail("a", 1).pipe(Airlock.scoped, Effect.provide(Never))
      yield* Effect.exit(Airlock.scoped(Effect.zipRight(mail("b", 2), Effect.fail("no"))))
      const recorded = yield* AirlockTest.Recorded
      expect(recorded.map(({ payload }) => payload)).toEqual([{ to: "a", order: { id: 1, tags: ["new"] } }])
    }).pipe(Effect.provide(AirlockTest.layer())))
})

describe("AirlockTest.inline", () => {
  it.effect("runs the handlers too, with the executor that the options name", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const Live = Mail.toLayer(({ to }) => Effect.sync(() => void sent.push(to)))
      const error = yield* Effect.forEach(["a", "b", "c"], (to, id) => mail(to, id)).pipe(
        Airlock.scoped,
        Effect.provide(Live),
        Effect.flip
      )
      expect(sent).toEqual(["a", "c"])
      expect(error.failures.map(({ reason }) => reason.message)).toEqual([
        "Dispatching \"Mail\" failed: AirlockTest.failsAt(2) fails this intent"
      ])
    }).pipe(Effect.provide(AirlockTest.inline({ executor: AirlockTest.failsAt(2) }))))
})

describe("AirlockTest.expectEnqueued and expectNotEnqueued", () => {
  it.effect("see intents that left and intents that the current scope holds", () =>
    Effect.gen(function*() {
      yield* AirlockTest.expectNotEnqueued(Mail)
      yield* Airlock.scoped(mail("a", 1))
      yield* AirlockTest.expectEnqueued(Mail)
      yield* AirlockTest.expectEnqueued(Mail, { order: { id: 1 } })
      yield* AirlockTest.expectEnqueued(Mail, { order: { tags: ["new"] } })
      yield* AirlockTest.expectNotEnqueued(Mail, { order: { tags: [] } })
      yield* Effect.zipRight(mail("b", 2), AirlockTest.expectEnqueued(Mail, { to: "b" })).pipe(Airlock.scoped)
      expect((yield* AirlockTest.enqueued).length).toBe(2)
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("fail with what was enqueued instead, in the form that the test runner shows as a difference", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(mail("a", 1))
      expect(yield* defectOf(AirlockTest.expectEnqueued(Mail, { to: "b" }))).toMatchObject({
        message:
          "expected \"Mail\" to be enqueued with {\"to\":\"b\"}; enqueued: \n  Mail {\"to\":\"a\",\"order\":{\"id\":1,\"tags\":[\"new\"]}}",
        actual: [{ to: "a", order: { id: 1, tags: ["new"] } }],
        expected: [{ to: "b" }]
      })
      expect(yield* defectOf(AirlockTest.expectEnqueued(Ping))).toMatchObject({
        actual: [{ task: "Mail" }],
        expected: [{ task: "Ping" }]
      })
      expect(yield* defectOf(AirlockTest.expectNotEnqueued(Mail, { to: "a" }))).toMatchObject({
        message: expect.stringContaining("expected \"Mail\" not to be enqueued"),
        expected: []
      })
    }).pipe(Effect.provide(AirlockTest.layer())))
})

describe("AirlockTest.enqueuedBy", () => {
  it.effect("gives exactly the intents of an Effect, those of independent scopes too, and lets none leave", () =>
    Effect.gen(function*() {
      const intents = yield* AirlockTest.enqueuedBy(
        mail("a", 1).pipe(Effect.zipRight(mail("b", 2).pipe(Airlock.scoped({ independent: true }))))
      ).pipe(Effect.zipLeft(mail("outer", 0)), Airlock.scoped)
      expect(intents.map(({ payload }) => (payload as typeof Mail.payloadSchema.Type).to)).toEqual(["a", "b"])
      expect((yield* AirlockTest.Recorded).length).toBe(1)
      expect(yield* Effect.exit(AirlockTest.enqueuedBy(Effect.zipRight(mail("a", 1), Effect.fail("no"))))).toEqual(
        Exit.fail("no")
      )
    }).pipe(Effect.provide(AirlockTest.layer())))
})

describe("AirlockTest.perform", () => {
  it.effect("runs the handler with a payload that was encoded and decoded", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const Live = Layer.mergeAll(
        Dated.toLayer(({ at }, { attempt }) => Effect.sync(() => void seen.push([at, attempt]))),
        Ping.toLayer(() => Effect.sync(() => void seen.push("ping")))
      )
      yield* AirlockTest.perform(Dated, { at: new Date(5) }).pipe(
        Effect.zipRight(AirlockTest.perform(Ping, undefined)),
        Effect.provide(Live)
      )
      expect(seen).toEqual([[new Date(5), 1], "ping"])
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("fails if the handler fails, if the task has no handler, and if the payload cannot be encoded", () =>
    Effect.gen(function*() {
      const Live = Mail.toLayer(() => Effect.fail(new Error("no mail server")))
      const order = { id: 1, tags: [] }
      const failed = yield* AirlockTest.perform(Mail, { to: "a", order }).pipe(Effect.provide(Live), Effect.flip)
      expect(failed.message).toBe("Dispatching \"Mail\" failed: no mail server")
      expect((yield* Effect.flip(AirlockTest.perform(Mail, { to: "a", order })))._tag).toBe("UnknownTaskError")
      const lost = yield* Effect.flip(AirlockTest.perform(Mail, { to: "a", order: { id: NaN, tags: [] } }))
      expect(lost._tag).toBe("DispatchError")
    }).pipe(Effect.provide(AirlockTest.layer())))
})

describe("AirlockTest's faulty executors", () => {
  it.effect("dies and hangs make the flush fail", () =>
    Effect.gen(function*() {
      const died = yield* Effect.flip(mail("a", 1).pipe(Airlock.scoped({ executor: AirlockTest.dies })))
      expect(died).toBeInstanceOf(AirlockError.FlushError)
      const fiber = yield* Effect.fork(Effect.flip(mail("a", 1).pipe(Airlock.scoped({ executor: AirlockTest.hangs }))))
      yield* TestClock.adjust("60 seconds")
      expect((yield* Fiber.join(fiber)).failures[0]?.reason._tag).toBe("SettleTimeoutError")
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("failsAt(5) fails no intent in a batch of one", () =>
    Effect.gen(function*() {
      const executor = AirlockTest.failsAt(5)
      const Live = Mail.toLayer(() => Effect.void)
      yield* mail("a", 1).pipe(Airlock.scoped({ executor }), Effect.provide(Live))
    }).pipe(Effect.provide(AirlockTest.layer())))
})
