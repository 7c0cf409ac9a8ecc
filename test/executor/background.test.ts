import { HttpApp, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, HashMap, Layer, Logger, ManagedRuntime, Option, Scope, TestClock } from "effect"
import { Airlock, Executor, HttpMiddleware } from "effect-airlock"
import { letOthersRun } from "../support/letOthersRun.js"
import { Next, next, Work, work } from "../support/tasks.js"

/** Records log lines with the intents that they name. */
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

describe("Executor.background", () => {
  it.effect("lets the scope settle before its handlers run, and runs the handlers of one scope in order", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) => Effect.zipRight(gate.await, Effect.sync(() => ran.push(n))))
      yield* Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3], work).pipe(Airlock.scoped)
        expect(ran).toEqual([])
        yield* gate.open
      }).pipe(
        Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background() }))))
      )
      // The Layer of the handler has closed, so the executor has finished what it held.
      expect(ran).toEqual([1, 2, 3])
    }))

  it.effect("runs as many batches at once as concurrency allows, and starts the others in order", () =>
    Effect.gen(function*() {
      const running: Array<number> = []
      const gates = yield* Effect.forEach([0, 1, 2, 3], () => Effect.makeLatch(false))
      const Handlers = Work.toLayer(({ n }) => Effect.zipRight(Effect.sync(() => running.push(n)), gates[n]!.await))
      yield* Effect.gen(function*() {
        yield* Effect.forEach([0, 1, 2, 3], (n) => Airlock.scoped(work(n)))
        yield* letOthersRun
        expect(running).toEqual([0, 1])
        yield* gates[1]!.open
        yield* letOthersRun
        expect(running).toEqual([0, 1, 2])
        yield* Effect.forEach(gates, (gate) => gate.open)
      }).pipe(
        Effect.provide(Handlers.pipe(
          Layer.provideMerge(Airlock.layer({ executor: Executor.background({ concurrency: 2 }) }))
        ))
      )
      expect(running).toEqual([0, 1, 2, 3])
    }))

  it.effect("makes a scope wait while it is full, and fails the flush at dispatchTimeout", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) => Effect.zipRight(gate.await, Effect.sync(() => ran.push(n))))
      yield* Effect.gen(function*() {
        yield* Airlock.scoped(work(1))
        const waits = yield* Effect.fork(Airlock.scoped(work(2)))
        yield* letOthersRun
        expect(waits.unsafePoll()).toBe(null)
        yield* TestClock.adjust("5 seconds")
        const error = yield* Effect.flip(Fiber.join(waits))
        expect(error.failures.map(({ reason }) => reason._tag)).toEqual(["SettleTimeoutError"])
        const lets = yield* Effect.fork(Airlock.scoped(work(3)))
        yield* letOthersRun
        yield* gate.open
        yield* Fiber.join(lets)
      }).pipe(
        Effect.provide(Handlers.pipe(Layer.provideMerge(
          Airlock.layer({ executor: Executor.background({ capacity: 1 }), dispatchTimeout: "5 seconds" })
        )))
      )
      expect(ran).toEqual([1, 3])
    }))

  it.effect("logs a failure with the task and the id of its intent", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const Handlers = Work.toLayer(({ n }) => n === 2 ? Effect.fail(new Error("two")) : Effect.void)
      yield* Effect.forEach([1, 2, 3], work).pipe(
        Airlock.scoped,
        Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background() })))),
        Effect.provide(layer)
      )
      expect(lines.map(({ message }) => message)).toEqual([
        "Airlock could not dispatch intents, after their scope had settled"
      ])
      expect(lines[0]!.intents[0]).toMatch(
        /^Work [0-9a-f-]{36}: Dispatching "Work" failed: two\n {4}at .*background\.test\.ts/
      )
    }))

  it.effect("runs 1 000 queued intents, and what their handlers enqueue, before a shutdown ends", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const Handlers = Work.toLayer(({ n }) =>
        gate.await.pipe(
          Effect.zipRight(Effect.sync(() => ran.push(n))),
          Effect.zipRight(n < 1000 ? Effect.asVoid(work(n + 1000)) : Effect.void)
        )
      )
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background({ capacity: 5000 }) }))),
        scope
      )
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => index),
        (index) => Airlock.scoped(Effect.forEach([0, 1, 2, 3, 4], (n) => work(index * 5 + n)))
      ).pipe(Effect.provide(context))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* letOthersRun
      expect(ran).toEqual([])
      yield* gate.open
      yield* Fiber.join(closing)
      expect(ran.sort((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, index) => index))
    }))

  it.effect("logs every unfinished intent at shutdownTimeout, those whose handlers ignore interruption too", () =>
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
        yield* Effect.forEach(Array.from({ length: 1000 }, (_, n) => n), (n) => Airlock.scoped(work(n))).pipe(
          Effect.provide(context)
        )
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* letOthersRun
        yield* TestClock.adjust("19 seconds")
        expect(closing.unsafePoll()).toBe(null)
        // The deadline, and the second that interrupted handlers have to end.
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

  it.effect("finishes closures at shutdown although no handler's Layer is open", () =>
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

  it("passes a Promise of its work to WaitUntil, for hosts that freeze the process after the response", async () => {
    const gate = Effect.unsafeMakeLatch(false)
    const ran: Array<number> = []
    const Handlers = Work.toLayer(({ n }) => Effect.zipRight(gate.await, Effect.sync(() => ran.push(n))))
    const runtime = ManagedRuntime.make(
      Handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.background() })))
    )
    const waitedFor: Array<Promise<void>> = []
    const app = Effect.as(work(1), HttpServerResponse.empty()).pipe(
      HttpMiddleware.airlock,
      Effect.provideService(Executor.WaitUntil, (promise) => {
        waitedFor.push(promise)
      })
    )
    const handler = HttpApp.toWebHandlerRuntime(await runtime.runtime())(app)
    expect((await handler(new Request("http://localhost/"))).status).toBe(204)
    expect([ran, waitedFor.length]).toEqual([[], 1])
    gate.unsafeOpen()
    await waitedFor[0]
    expect(ran).toEqual([1])
    await runtime.dispose()
  })

  const provide = (executor: Executor.Executor, handlers: Layer.Layer<never, never, Airlock.Airlock>) =>
    Effect.provide(handlers.pipe(Layer.provideMerge(Airlock.layer({ executor }))))

  it.effect("accepts what its handlers enqueue while it is full", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      yield* Effect.all([work(1), work(2)]).pipe(
        Airlock.scoped,
        provide(
          Executor.background({ capacity: 2 }),
          Layer.mergeAll(
            Work.toLayer(({ n }) => Effect.zipRight(Effect.sync(() => ran.push(`work ${n}`)), next(n))),
            Next.toLayer(({ n }) => Effect.sync(() => ran.push(`next ${n}`)))
          )
        )
      )
      expect(ran.sort()).toEqual(["next 1", "next 2", "work 1", "work 2"])
    }))

  it.effect("passes a Promise to WaitUntil that includes what handlers enqueue", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const gate = yield* Effect.makeLatch(false)
      const told: Array<Promise<unknown>> = []
      yield* Effect.gen(function*() {
        yield* Airlock.scoped(work(1)).pipe(
          Effect.provideService(Executor.WaitUntil, (promise) => {
            told.push(promise.then(() => events.push("done")))
          })
        )
        yield* letOthersRun
        expect(told.length).toBe(1)
        yield* gate.open
        yield* Effect.promise(() => told[0]!)
        expect(events).toEqual(["work", "next", "done"])
      }).pipe(provide(
        Executor.background(),
        Layer.mergeAll(
          Work.toLayer(({ n }) => Effect.zipRight(Effect.sync(() => events.push("work")), next(n))),
          Next.toLayer(() => Effect.zipRight(gate.await, Effect.sync(() => events.push("next"))))
        )
      ))
    }))

  it.effect("runs the intents although WaitUntil throws", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      yield* work(1).pipe(
        Airlock.scoped,
        Effect.provideService(Executor.WaitUntil, () => {
          throw new Error("no request")
        }),
        provide(Executor.background(), Work.toLayer(({ n }) => Effect.sync(() => ran.push(n))))
      )
      expect(ran).toEqual([1])
    }))

  it("refuses a concurrency or a capacity below 1", () => {
    expect(() => Executor.background({ concurrency: 0 })).toThrow("at least 1")
    expect(() => Executor.background({ capacity: 0 })).toThrow("at least 1")
  })
})
