import { HttpApp, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import {
  Deferred,
  Effect,
  Exit,
  Fiber,
  HashMap,
  Layer,
  Logger,
  ManagedRuntime,
  Option,
  Schema,
  Scope,
  TestClock
} from "effect"
import { Airlock, Executor, HttpMiddleware, Task } from "effect-airlock"

const Work = Task.make("Work", { payload: { n: Schema.Number } })
const enqueue = (n: number) => Airlock.enqueue(Work, { n })

/** Log lines at error level, with the intents that they name. */
const logging = () => {
  const lines: Array<{ readonly message: string, readonly intents: ReadonlyArray<string>, readonly count: unknown }> =
    []
  const logger = Logger.make(({ annotations, message }) => {
    const annotated = (key: string) => Option.getOrUndefined(HashMap.get(annotations, key))
    lines.push({
      message: `${message}`,
      intents: annotated("airlock.intents") as ReadonlyArray<string>,
      count: annotated("airlock.count")
    })
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

const settled = Effect.repeatN(Effect.yieldNow(), 200)

describe("Executor.background", () => {
  it.effect("lets the scope settle before its handlers run, and runs those of a scope in order", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) => Effect.zipRight(gate.await, Effect.sync(() => ran.push(n))))
      yield* Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3], enqueue).pipe(Airlock.scoped)
        expect(ran).toEqual([])
        yield* gate.open
      }).pipe(
        Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background() }))))
      )
      // The Layer of the handler has closed, so it has finished what was held.
      expect(ran).toEqual([1, 2, 3])
    }))

  it.effect("carries the batches of scopes side by side, as many as concurrency says, the others in order", () =>
    Effect.gen(function*() {
      const running: Array<number> = []
      const gates = yield* Effect.forEach([0, 1, 2, 3], () => Effect.makeLatch(false))
      const Handlers = Work.toLayer(({ n }) => Effect.zipRight(Effect.sync(() => running.push(n)), gates[n]!.await))
      yield* Effect.gen(function*() {
        yield* Effect.forEach([0, 1, 2, 3], (n) => Airlock.scoped(enqueue(n)))
        yield* settled
        expect(running).toEqual([0, 1])
        yield* gates[1]!.open
        yield* settled
        expect(running).toEqual([0, 1, 2])
        yield* Effect.forEach(gates, (gate) => gate.open)
      }).pipe(
        Effect.provide(Handlers.pipe(
          Layer.provideMerge(Airlock.layer({ executor: Executor.background({ concurrency: 2 }) }))
        ))
      )
      expect(running).toEqual([0, 1, 2, 3])
    }))

  it.effect("holds no more than its capacity: the scope waits for room, and says so if there is none in time", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) => Effect.zipRight(gate.await, Effect.sync(() => ran.push(n))))
      yield* Effect.gen(function*() {
        yield* Airlock.scoped(enqueue(1))
        const waits = yield* Effect.fork(Airlock.scoped(enqueue(2)))
        yield* settled
        expect(waits.unsafePoll()).toBe(null)
        yield* TestClock.adjust("5 seconds")
        const error = yield* Effect.flip(Fiber.join(waits))
        expect(error.failures.map(({ reason }) => reason._tag)).toEqual(["SettleTimeoutError"])
        const lets = yield* Effect.fork(Airlock.scoped(enqueue(3)))
        yield* settled
        yield* gate.open
        yield* Fiber.join(lets)
      }).pipe(
        Effect.provide(Handlers.pipe(Layer.provideMerge(
          Airlock.layer({ executor: Executor.background({ capacity: 1 }), dispatchTimeout: "5 seconds" })
        )))
      )
      expect(ran).toEqual([1, 3])
    }))

  it.effect("logs a failure, by the intent's name", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const Handlers = Work.toLayer(({ n }) => n === 2 ? Effect.fail(new Error("two")) : Effect.void)
      yield* Effect.forEach([1, 2, 3], enqueue).pipe(
        Airlock.scoped,
        Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background() })))),
        Effect.provide(layer)
      )
      expect(lines.map(({ message }) => message)).toEqual([
        "Airlock could not let intents leave, after their scope had settled"
      ])
      expect(lines[0]!.intents[0]).toMatch(/^Work [0-9a-f-]{36}: Dispatching "Work" failed: two$/)
    }))

  it.effect("1 000 intents in flight at the shutdown, and what their handlers enqueue, all run", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) =>
        gate.await.pipe(
          Effect.zipRight(Effect.sync(() => ran.push(n))),
          Effect.zipRight(n < 1000 ? Effect.asVoid(enqueue(n + 1000)) : Effect.void)
        )
      )
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background({ capacity: 5000 }) }))),
        scope
      )
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => index),
        (index) => Airlock.scoped(Effect.forEach([0, 1, 2, 3, 4], (n) => enqueue(index * 5 + n)))
      ).pipe(Effect.provide(context))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settled
      expect(ran).toEqual([])
      yield* gate.open
      yield* Fiber.join(closing)
      expect(ran.sort((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, index) => index))
    }))

  it.effect("at the deadline names each of 1 000 that it could not finish, those whose handler ignores interruption too", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const never = yield* Deferred.make<void>()
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) =>
        n % 10 === 0
          ? Effect.uninterruptible(Deferred.await(never))
          : n % 10 < 5
          ? Effect.never
          : Effect.sync(() => ran.push(n))
      )
      const scope = yield* Scope.make()
      yield* Effect.gen(function*() {
        const context = yield* Layer.buildWithScope(
          Handlers.pipe(Layer.provideMerge(
            Airlock.layer({ executor: Executor.background(), shutdownTimeout: "20 seconds" })
          )),
          scope
        )
        yield* Effect.forEach(Array.from({ length: 1000 }, (_, n) => n), (n) => Airlock.scoped(enqueue(n))).pipe(
          Effect.provide(context)
        )
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* settled
        yield* TestClock.adjust("19 seconds")
        expect(closing.unsafePoll()).toBe(null)
        // The deadline, and the second that those have to answer who are interrupted at it.
        yield* TestClock.adjust("2 seconds")
        yield* TestClock.adjust("1 second")
        expect(yield* Effect.map(closing.poll, Option.isSome)).toBe(true)
      }).pipe(Effect.provide(layer))
      expect(ran.length).toBe(500)
      expect(lines.map(({ count, message }) => [message, count])).toEqual([
        ...Array.from({ length: 5 }, () => ["Airlock shut down before these intents had left", 100]),
        ["Airlock shut down while handlers still ran", 100]
      ])
      expect(new Set(lines.flatMap(({ intents }) => intents ?? [])).size).toBe(500)
      yield* Deferred.succeed(never, undefined)
    }))

  it.effect("closures alone, without the Layer of any handler, are finished too", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<string> = []
      yield* Airlock.enqueueEffect("closure", Effect.zipRight(gate.await, Effect.sync(() => ran.push("closure")))).pipe(
        Airlock.scoped,
        Effect.zipRight(gate.open),
        Effect.provide(Airlock.layer({ executor: Executor.background() }))
      )
      expect(ran).toEqual(["closure"])
    }))

  it("tells a host that freezes processes after the response, by WaitUntil", async () => {
    const gate = Effect.unsafeMakeLatch(false)
    const ran: Array<number> = []
    const Handlers = Work.toLayer(({ n }) => Effect.zipRight(gate.await, Effect.sync(() => ran.push(n))))
    const runtime = ManagedRuntime.make(
      Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background() })))
    )
    const work: Array<Promise<void>> = []
    const app = Effect.as(enqueue(1), HttpServerResponse.empty()).pipe(
      HttpMiddleware.airlock,
      Effect.provideService(Executor.WaitUntil, (promise) => {
        work.push(promise)
      })
    )
    const handler = HttpApp.toWebHandlerRuntime(await runtime.runtime())(app)
    expect((await handler(new Request("http://localhost/"))).status).toBe(204)
    expect([ran, work.length]).toEqual([[], 1])
    gate.unsafeOpen()
    await work[0]
    expect(ran).toEqual([1])
    await runtime.dispose()
  })
})
