/**
 * Where executors, shutdowns and handlers meet.
 */
import { describe, expect, it } from "@effect/vitest"
import {
  Deferred,
  Effect,
  Exit,
  Fiber,
  HashMap,
  Layer,
  Logger,
  Option,
  Schedule,
  Schema,
  Scope,
  TestClock
} from "effect"
import { Airlock, AirlockError, Executor, Task } from "effect-airlock"

const Work = Task.make("Work", { payload: { n: Schema.Number } })
const Next = Task.make("Next", { payload: { n: Schema.Number } })
const work = (n: number) => Airlock.enqueue(Work, { n })
const next = (n: number) => Airlock.enqueue(Next, { n })

const settled = Effect.repeatN(Effect.yieldNow(), 300)

const reasons = (error: AirlockError.FlushError) => error.failures.map(({ reason }) => reason._tag)

const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, message }) => {
    const intents = Option.getOrElse(HashMap.get(annotations, "airlock.intents"), () => []) as ReadonlyArray<string>
    lines.push([message, ...intents.map((text) => text.replace(/ [0-9a-f-]{36}/, ""))].join("; "))
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

describe("a shutdown", () => {
  it.effect("is not begun by the Layer of one handler that comes and goes: the others keep their time", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Work.toLayer(({ n }) => Effect.zipRight(Effect.sleep("10 seconds"), Effect.sync(() => ran.push(n)))).pipe(
          Layer.provideMerge(Airlock.layer({ executor: Executor.background() }))
        ),
        scope
      )
      yield* Airlock.scoped(work(0)).pipe(Effect.provide(context))
      const plugin = yield* Effect.fork(
        Effect.scoped(Layer.build(Next.toLayer(() => Effect.void))).pipe(Effect.provide(context))
      )
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(plugin)
      yield* TestClock.adjust("1 hour")
      yield* Airlock.scoped(work(1)).pipe(Effect.provide(context))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      expect(ran).toEqual([0, 1])
    }))

  it.effect("has one time for all handlers that go one after the other", () =>
    Effect.gen(function*() {
      const never = yield* Deferred.make<void>()
      const stuck = () => Effect.uninterruptible(Deferred.await(never))
      const { layer } = logged()
      const scope = yield* Scope.make()
      const airlock = yield* Layer.buildWithScope(Airlock.layer({ executor: Executor.background() }), scope)
      yield* Layer.buildWithScope(Work.toLayer(stuck), scope).pipe(Effect.provide(airlock))
      yield* Layer.buildWithScope(Next.toLayer(stuck), scope).pipe(Effect.provide(airlock))
      yield* Effect.all([Airlock.scoped(work(1)), Airlock.scoped(next(2))]).pipe(Effect.provide(airlock))
      yield* settled
      const closing = yield* Effect.fork(Effect.provide(Scope.close(scope, Exit.void), layer))
      yield* TestClock.adjust("30 seconds")
      // Whoever is cut off has a second to answer.
      for (let second = 0; second < 4; second++) {
        yield* TestClock.adjust("1 second")
      }
      expect(yield* Effect.map(closing.poll, Option.isSome)).toBe(true)
      yield* Deferred.succeed(never, undefined)
    }))

  it.effect("says why what it cut short had failed, and names the rest", () =>
    Effect.gen(function*() {
      const { layer, lines } = logged()
      const scope = yield* Scope.make()
      yield* Effect.gen(function*() {
        const context = yield* Layer.buildWithScope(
          Work.toLayer(({ n }) => n === 1 ? Effect.fail(new Error("no such user")) : Effect.never).pipe(
            Layer.provideMerge(Airlock.layer({ executor: Executor.background() }))
          ),
          scope
        )
        yield* Airlock.scoped(Effect.zipRight(work(1), work(2))).pipe(Effect.provide(context))
        yield* settled
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("30 seconds")
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
      }).pipe(Effect.provide(layer))
      expect(lines).toEqual([
        "Airlock could not let intents leave, after their scope had settled; Work: Dispatching \"Work\" failed: no such user",
        "Airlock shut down before these intents had left; Work"
      ])
    }))

  it.scoped("lets no handler begin when its Layer has closed, whatever waits before it", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      let closed = false
      const late: Array<number> = []
      const scope = yield* Scope.make()
      const airlock = yield* Layer.build(Airlock.layer({ executor: Executor.inProcess({ timeout: "1 hour" }) }))
      yield* Layer.buildWithScope(
        Layer.mergeAll(
          Work.toLayer(({ n }) => Effect.sync(() => closed && late.push(n))),
          Next.toLayer(() => gate.await)
        ),
        scope
      ).pipe(Effect.provide(airlock))
      const running = yield* Effect.fork(
        Effect.zipRight(next(0), work(1)).pipe(Airlock.scoped, Effect.flip, Effect.provide(airlock))
      )
      yield* settled
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settled
      closed = true
      yield* gate.open
      yield* Fiber.join(closing)
      const error = yield* Fiber.join(running)
      expect(late).toEqual([])
      expect(reasons(error)).toEqual(["UnknownTaskError"])
    }))

  it.effect("of one Airlock leaves the background that it shares with another free", () =>
    Effect.gen(function*() {
      const executor = Executor.background({ concurrency: 1, capacity: 1 })
      const never = yield* Deferred.make<void>()
      const ran: Array<number> = []
      const build = (handler: (n: number) => Effect.Effect<unknown>, scope: Scope.Scope) =>
        Layer.buildWithScope(
          Work.toLayer(({ n }) => handler(n)).pipe(Layer.provideMerge(Airlock.layer({ executor }))),
          scope
        )
      const first = yield* Scope.make()
      const hung = yield* build(() => Effect.uninterruptible(Deferred.await(never)), first)
      yield* Airlock.scoped(work(1)).pipe(Effect.provide(hung))
      yield* settled
      const closing = yield* Effect.fork(Scope.close(first, Exit.void))
      yield* TestClock.adjust("30 seconds")
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      const second = yield* Scope.make()
      const other = yield* build((n) => Effect.sync(() => ran.push(n)), second)
      yield* Airlock.scoped(work(2)).pipe(Effect.provide(other))
      yield* Scope.close(second, Exit.void)
      expect(ran).toEqual([2])
      yield* Deferred.succeed(never, undefined)
    }))
})

describe("the background", () => {
  const provide = (executor: Executor.Executor, handlers: Layer.Layer<never, never, Airlock.Airlock>) =>
    Effect.provide(handlers.pipe(Layer.provideMerge(Airlock.layer({ executor }))))

  it.effect("has room for what handlers enqueue, however full it is", () =>
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

  it.effect("tells the host to wait for what handlers enqueue too", () =>
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
        yield* settled
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

  it.effect("has taken the intents, even if the host's function throws", () =>
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

  it("refuses what could never carry anything", () => {
    expect(() => Executor.background({ concurrency: 0 })).toThrow("at least 1")
    expect(() => Executor.background({ capacity: 0 })).toThrow("at least 1")
  })
})

describe("combinators", () => {
  it.effect("timed passes an interruption on: nothing runs after the scope has given up", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const running = yield* Effect.zipRight(work(1), work(2)).pipe(
        Airlock.scoped({
          executor: Executor.inProcess().pipe(Executor.timed("10 minutes")),
          dispatchTimeout: "1 minute"
        }),
        Effect.flip,
        Effect.provide(
          Work.toLayer(({ n }) => Effect.zipRight(n === 1 ? gate.await : Effect.void, Effect.sync(() => ran.push(n))))
            .pipe(
              Layer.provideMerge(Airlock.AirlockLive)
            )
        ),
        Effect.fork
      )
      yield* settled
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      yield* gate.open
      yield* settled
      expect(reasons(error)).toEqual(["SettleTimeoutError", "SettleTimeoutError"])
      expect(ran).toEqual([])
    }))

  it.effect("retrying takes a defect for an engine that is away, and forgets nothing of what it knew", () =>
    Effect.gen(function*() {
      const sent: Array<ReadonlyArray<unknown>> = []
      const engine = Executor.make({
        name: "engine",
        dispatch: (intents) =>
          Effect.suspend(() => {
            const ns = intents.map(({ payload }) => (payload as { n: number }).n)
            sent.push(ns)
            return sent.length === 1
              ? Effect.succeed(ns.map((n) =>
                n === 1 ? Exit.void : Exit.fail(new AirlockError.DispatchError({ task: "Work", cause: "full" }))
              ))
              : Effect.die(new Error("ECONNREFUSED"))
          })
      })
      const error = yield* Effect.all([work(1), work(2)]).pipe(
        Airlock.scoped({ executor: Executor.retrying(engine, Schedule.recurs(2)) }),
        Effect.flip,
        Effect.provide(Airlock.AirlockLive)
      )
      expect(sent).toEqual([[1, 2], [2], [2]])
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Work\" failed: ECONNREFUSED"])
    }))

  it.effect("see what became of a batch that a drain has carried", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const executor = Executor.drain().pipe(
        Executor.tapped((_, outcome) => Effect.sync(() => told.push(outcome._tag)))
      )
      const error = yield* work(1).pipe(
        Airlock.scoped({ executor }),
        Effect.flip,
        Effect.provide(Work.toLayer(() => Effect.fail("no")).pipe(Layer.provideMerge(Airlock.AirlockLive)))
      )
      expect(told).toEqual(["Failure"])
      expect(reasons(error)).toEqual(["DispatchError"])
    }))
})

describe("attempts", () => {
  const runWith = (
    retry: Schedule.Schedule<unknown, Executor.DispatchReason>,
    handlers: Layer.Layer<never, never, Airlock.Airlock>
  ) => Effect.provide(handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.inProcess({ retry }) }))))

  it.effect("a task without a handler is not tried again, and holds nobody up", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const error = yield* Effect.zipRight(next(0), work(1)).pipe(
        Airlock.scoped,
        Effect.flip,
        runWith(Schedule.spaced("1 second"), Work.toLayer(({ n }) => Effect.sync(() => ran.push(n))))
      )
      expect(reasons(error)).toEqual(["UnknownTaskError"])
      expect(ran).toEqual([1])
    }))

  it.effect("a schedule that dies ends them for its own intent", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const error = yield* Effect.all([work(1), work(2)]).pipe(
        Airlock.scoped,
        Effect.flip,
        runWith(
          Schedule.recurWhile((): boolean => {
            throw new Error("a bad predicate")
          }),
          Work.toLayer(({ n }) => n === 1 ? Effect.fail(new Error("its own")) : Effect.sync(() => ran.push(n)))
        )
      )
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Work\" failed: its own"])
      expect(ran).toEqual([2])
    }))

  it.effect("an intent's maxAttempts takes it out of its batch, and no other", () =>
    Effect.gen(function*() {
      const calls: Array<ReadonlyArray<number>> = []
      const error = yield* Effect.all([
        work(1),
        Airlock.enqueue(Work, { n: 2 }, { maxAttempts: 1 }),
        work(3)
      ]).pipe(
        Airlock.scoped,
        Effect.flip,
        runWith(
          Schedule.recurs(1),
          Work.toLayerBatched((payloads) =>
            Effect.suspend(() =>
              calls.push(payloads.map(({ n }) => n)) === 1 ? Effect.fail(new Error("once")) : Effect.void
            )
          )
        )
      )
      expect(calls).toEqual([[1, 2, 3], [1, 3]])
      expect(error.failures.length).toBe(1)
    }))

  it.scoped("a batched handler whose Layer came meanwhile gets its payload in an array", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const got: Array<unknown> = []
      const airlock = yield* Layer.build(
        Work.toLayer(() => gate.await).pipe(Layer.provideMerge(Airlock.AirlockLive))
      )
      const running = yield* Effect.fork(
        Effect.zipRight(work(1), next(2)).pipe(Airlock.scoped, Effect.provide(airlock))
      )
      yield* settled
      yield* Layer.build(Next.toLayerBatched((payloads) => Effect.sync(() => got.push(payloads)))).pipe(
        Effect.provide(airlock)
      )
      yield* gate.open
      yield* Fiber.join(running)
      expect(got).toEqual([[{ n: 2 }]])
    }))
})

describe("large batches", () => {
  it.effect("are routed, laned and drained without holding the process up", () =>
    Effect.gen(function*() {
      let ran = 0
      const count = 150_000
      const atOnce = Executor.inProcess()
      for (const executor of [Executor.route(() => atOnce), Executor.drain()]) {
        yield* Effect.forEach(Array.from({ length: count }), () => work(1), { discard: true }).pipe(
          Airlock.scoped({ executor, maxIntents: count }),
          Effect.provide(
            Work.toLayer(() => Effect.sync(() => ran++)).pipe(Layer.provideMerge(Airlock.AirlockLive))
          )
        )
      }
      expect(ran).toBe(2 * count)
    }))
})
