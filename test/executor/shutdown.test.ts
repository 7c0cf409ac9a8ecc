/**
 * What happens to queued and running intents when the Layers of handlers close.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, HashMap, Layer, Logger, Option, Scope, TestClock } from "effect"
import { Airlock, Executor } from "effect-airlock"
import { reasonsIn } from "../support/flushErrors.js"
import { letOthersRun } from "../support/letOthersRun.js"
import { Next, next, Work, work } from "../support/tasks.js"

const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, message }) => {
    const intents = Option.getOrElse(HashMap.get(annotations, "airlock.intents"), () => []) as ReadonlyArray<string>
    lines.push([message, ...intents.map((text) => text.replace(/ [0-9a-f-]{36}/, ""))].join("; "))
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

describe("a shutdown", () => {
  it.effect("does not begin when the Layer of one handler closes and those of others stay open", () =>
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

  it.effect("spends one shutdownTimeout on all handlers, though their Layers close one after the other", () =>
    Effect.gen(function*() {
      const never = yield* Deferred.make<void>()
      const stuck = () => Effect.uninterruptible(Deferred.await(never))
      const { layer } = logged()
      const scope = yield* Scope.make()
      const airlock = yield* Layer.buildWithScope(Airlock.layer({ executor: Executor.background() }), scope)
      yield* Layer.buildWithScope(Work.toLayer(stuck), scope).pipe(Effect.provide(airlock))
      yield* Layer.buildWithScope(Next.toLayer(stuck), scope).pipe(Effect.provide(airlock))
      yield* Effect.all([Airlock.scoped(work(1)), Airlock.scoped(next(2))]).pipe(Effect.provide(airlock))
      yield* letOthersRun
      const closing = yield* Effect.fork(Effect.provide(Scope.close(scope, Exit.void), layer))
      yield* TestClock.adjust("30 seconds")
      // An interrupted handler has one second to end.
      for (let second = 0; second < 4; second++) {
        yield* TestClock.adjust("1 second")
      }
      expect(yield* Effect.map(closing.poll, Option.isSome)).toBe(true)
      yield* Deferred.succeed(never, undefined)
    }))

  it.effect("logs the failures of a batch that it interrupts, and names the unfinished intents", () =>
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
        yield* letOthersRun
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("30 seconds")
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
      }).pipe(Effect.provide(layer))
      expect(lines.map((line) => line.split("\n")[0])).toEqual([
        "Airlock could not dispatch intents, after their scope had settled; Work: Dispatching \"Work\" failed: no such user",
        "Airlock shut down before these intents had left; Work"
      ])
    }))

  it.scoped("starts no handler after its Layer has closed, even in a batch that is running", () =>
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
      yield* letOthersRun
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* letOthersRun
      closed = true
      yield* gate.open
      yield* Fiber.join(closing)
      const error = yield* Fiber.join(running)
      expect(late).toEqual([])
      expect(reasonsIn(error)).toEqual(["UnknownTaskError"])
    }))

  it.effect("of one Airlock frees the background executor that it shares with another Airlock", () =>
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
      yield* letOthersRun
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
