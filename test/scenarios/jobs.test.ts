/**
 * Jobs, scripts, plain functions and services: the examples of docs/jobs-and-scripts.md, and their rules.
 */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Fiber, Layer, Logger, ManagedRuntime, Schedule, TestClock } from "effect"
import { Airlock, AirlockError, type AirlockScope } from "effect-airlock"
import { setImmediate as turn } from "node:timers/promises"
import { pageExample } from "../support/pageExample.js"
import { layer, Left, left, note } from "../support/recorder.js"

const page = "docs/jobs-and-scripts.md"

type Job<E> = Effect.Effect<void, E, AirlockScope>

interface JobExample {
  readonly repeated: <E>(
    name: string,
    job: Job<E>,
    schedule: Schedule.Schedule<unknown>
  ) => Effect.Effect<void, never, Airlock.Airlock>
}

interface ToItsEndExample {
  readonly toItsEnd: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface FunctionExample {
  readonly inScope: <A>(
    runtime: ManagedRuntime.ManagedRuntime<Airlock.Airlock | Left, never>,
    body: (run: <B, E>(self: Effect.Effect<B, E, Airlock.Airlock | AirlockScope>) => Promise<B>) => Promise<A>
  ) => Promise<A>
}

const example = <A>(containing: string, declared: Record<string, unknown> = {}) =>
  Effect.promise(() => pageExample(page, containing, declared) as Promise<A>)

const repeatedOfPage = Effect.map(
  example<JobExample>("Effect.schedule(schedule)", { findOldCarts: Effect.succeed([]) }),
  ({ repeated }) => repeated
)

const toItsEndOfPage = Effect.map(
  example<ToItsEndExample>("const toItsEnd", { importOrders: Effect.void }),
  ({ toItsEnd }) => toItsEnd
)

const inScopeOfPage = Effect.map(
  example<FunctionExample>("const inScope", { runtime: undefined, saveUser: undefined }),
  ({ inScope }) => inScope
)

const quiet = Logger.remove(Logger.defaultLogger)

/** A job that counts its runs, and enqueues the number of the run. */
const counting = (andThen: (run: number) => Effect.Effect<void, string> = () => Effect.void) => {
  let run = 0
  return Effect.suspend(() => {
    run++
    return Effect.zipRight(note(`run ${run}`), andThen(run))
  })
}

const hourly = Schedule.spaced("1 hour")

describe("a job that repeats", () => {
  it.effect("lets the intents of each run leave before the next run begins", () =>
    Effect.gen(function*() {
      const repeated = yield* repeatedOfPage
      yield* Effect.fork(repeated("job", counting(), hourly))
      yield* TestClock.adjust("59 minutes")
      expect(yield* left).toEqual([])
      yield* TestClock.adjust("1 minute")
      expect(yield* left).toEqual(["run 1"])
      yield* TestClock.adjust("2 hours")
      expect(yield* left).toEqual(["run 1", "run 2", "run 3"])
    }).pipe(Effect.provide(layer())))

  it.effect("discards the intents of a run that fails or dies, and goes on", () =>
    Effect.gen(function*() {
      const repeated = yield* repeatedOfPage
      const job = counting((run) => run === 2 ? Effect.fail("no") : run === 3 ? Effect.die("a bug") : Effect.void)
      yield* Effect.fork(repeated("job", job, hourly))
      yield* TestClock.adjust("4 hours")
      expect(yield* left).toEqual(["run 1", "run 4"])
    }).pipe(Effect.provide(layer()), Effect.provide(quiet)))

  it.effect("goes on after a run whose intents could not leave, and logs the FlushError", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const logger = Logger.make(({ cause, message }) => {
        logged.push(`${String(message)} ${cause._tag}`)
      })
      const repeated = yield* repeatedOfPage
      let run = 0
      const job = Effect.suspend(() => note(++run === 1 ? "fails" : "leaves"))
      yield* Effect.fork(repeated("job", Effect.asVoid(job), hourly)).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      yield* TestClock.adjust("2 hours")
      expect(yield* left).toEqual(["leaves"])
      expect(logged).toContain("the job job failed Fail")
    }).pipe(Effect.provide(layer())))

  it.effect("discards the intents of the run in which it is interrupted, and of no other", () =>
    Effect.gen(function*() {
      const repeated = yield* repeatedOfPage
      const second = yield* Deferred.make<void>()
      const job = counting((run) =>
        run === 2 ? Effect.zipRight(Deferred.succeed(second, void 0), Effect.never) : Effect.void
      )
      const fiber = yield* Effect.fork(repeated("job", job, hourly))
      yield* TestClock.adjust("2 hours")
      yield* Deferred.await(second)
      yield* Fiber.interrupt(fiber)
      expect(yield* left).toEqual(["run 1"])
    }).pipe(Effect.provide(layer())))

  it.effect("is in no scope of the code that started it", () =>
    Effect.gen(function*() {
      const repeated = yield* repeatedOfPage
      const request = Effect.gen(function*() {
        yield* note("request")
        yield* Effect.forkDaemon(repeated("job", counting(), hourly))
        yield* TestClock.adjust("1 hour")
        // The request is still open.
        expect(yield* left).toEqual(["run 1"])
      })
      yield* Airlock.scoped(request)
      yield* TestClock.adjust("1 hour")
      expect(yield* left).toEqual(["run 1", "request", "run 2"])
    }).pipe(Effect.provide(layer())))

  it.effect("runs at the times of a cron expression, and not when it starts", () =>
    Effect.gen(function*() {
      const repeated = yield* repeatedOfPage
      const times: Array<string> = []
      const job = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        times.push(new Date(now).toISOString())
        return note(`run ${times.length}`)
      })
      yield* TestClock.setTime(Date.UTC(2030, 0, 1, 12))
      yield* Effect.fork(repeated("job", Effect.asVoid(job), Schedule.cron("0 3 * * *", "UTC")))
      yield* TestClock.adjust("15 hours")
      expect(times).toEqual(["2030-01-02T03:00:00.000Z"])
      expect(yield* left).toEqual(["run 1"])
      yield* TestClock.adjust("2 days")
      expect(times.slice(1)).toEqual(["2030-01-03T03:00:00.000Z", "2030-01-04T03:00:00.000Z"])
      expect(yield* left).toEqual(["run 1", "run 2", "run 3"])
    }).pipe(Effect.provide(layer())))

  it.effect("skips the times of a cron expression that pass while a run is going on", () =>
    Effect.gen(function*() {
      const repeated = yield* repeatedOfPage
      const hours: Array<number> = []
      const job = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        hours.push(new Date(now).getUTCHours())
        return Effect.sleep("150 minutes")
      })
      yield* TestClock.setTime(Date.UTC(2030, 0, 1))
      yield* Effect.fork(repeated("job", job, Schedule.cron("0 * * * *", "UTC")))
      yield* TestClock.adjust("8 hours")
      expect(hours).toEqual([1, 4, 7])
    }).pipe(Effect.provide(layer())))

  it.effect("with the schedule inside of the scope, lets nothing leave while it repeats", () =>
    Effect.gen(function*() {
      const fiber = yield* counting().pipe(Effect.schedule(hourly), Airlock.scoped, Effect.fork)
      yield* TestClock.adjust("3 hours")
      expect(yield* left).toEqual([])
      yield* Fiber.interrupt(fiber)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("whose failure is recovered inside of the scope lets the intents of the failed run leave", () =>
    Effect.gen(function*() {
      yield* counting(() => Effect.fail("no")).pipe(Effect.ignore, Airlock.scoped)
      expect(yield* left).toEqual(["run 1"])
    }).pipe(Effect.provide(layer())))
})

describe("a run that ends before its process stops", () => {
  const started = (after: Effect.Effect<void>) =>
    Effect.gen(function*() {
      const toItsEnd = yield* toItsEndOfPage
      const begun = yield* Deferred.make<void>()
      const run = note("run").pipe(
        Effect.zipRight(Deferred.succeed(begun, void 0)),
        Effect.zipRight(after),
        Effect.timeout("1 minute"),
        Airlock.scoped({ independent: true }),
        toItsEnd
      )
      const fiber = yield* Effect.fork(run)
      yield* Deferred.await(begun)
      // It has to wait for the run.
      return yield* Effect.fork(Fiber.interrupt(fiber))
    })

  it.effect("lets its intents leave, although it was interrupted meanwhile", () =>
    Effect.gen(function*() {
      const goOn = yield* Deferred.make<void>()
      const stopping = yield* started(Deferred.await(goOn))
      yield* Effect.yieldNow()
      expect(yield* left).toEqual([])
      yield* Deferred.succeed(goOn, void 0)
      yield* Fiber.join(stopping)
      expect(yield* left).toEqual(["run"])
    }).pipe(Effect.provide(layer())))

  it.effect("discards them if it takes longer than its time limit", () =>
    Effect.gen(function*() {
      const stopping = yield* started(Effect.never)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(stopping)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))
})

describe("plain functions", () => {
  const withRuntime = (
    body: (runtime: ManagedRuntime.ManagedRuntime<Airlock.Airlock | Left, never>) => Promise<void>
  ) =>
    Effect.promise(async () => {
      const runtime = ManagedRuntime.make(layer())
      try {
        await body(runtime)
      } finally {
        await runtime.dispose()
      }
    })

  it.live("200 concurrent callers of one ManagedRuntime never mix their scopes", () =>
    withRuntime(async (runtime) => {
      const call = (index: number): Promise<void> =>
        runtime.runPromise(
          Effect.gen(function*() {
            yield* note(`${index}a`)
            yield* Effect.promise(() => turn())
            yield* note(`${index}b`)
            const held = yield* Airlock.intents
            expect(held.map(({ payload }) => payload)).toEqual([{ text: `${index}a` }, { text: `${index}b` }])
            if (index % 2 === 1) {
              return yield* Effect.fail("odd")
            }
          }).pipe(Airlock.scoped)
        )
      const results = await Promise.allSettled(Array.from({ length: 200 }, (_, index) => call(index)))
      expect(results.map(({ status }) => status)).toEqual(
        results.map((_, index) => index % 2 === 0 ? "fulfilled" : "rejected")
      )
      const texts = Array.from({ length: 100 }, (_, half) => [`${2 * half}a`, `${2 * half}b`]).flat()
      expect([...await runtime.runPromise(left)].sort()).toEqual(texts.sort())
    }))

  it.live("200 concurrent async functions in scopes of one ManagedRuntime never mix", () =>
    Effect.flatMap(inScopeOfPage, (inScope) =>
      withRuntime(async (runtime) => {
        const call = (index: number): Promise<void> =>
          inScope(runtime, async (run) => {
            await run(note(`${index}a`))
            await turn()
            await run(note(`${index}b`))
            const held = await run(Airlock.intents)
            expect(held.map(({ payload }) => payload)).toEqual([{ text: `${index}a` }, { text: `${index}b` }])
          })
        await Promise.all(Array.from({ length: 200 }, (_, index) => call(index)))
        const texts = Array.from({ length: 200 }, (_, index) => [`${index}a`, `${index}b`]).flat()
        expect([...await runtime.runPromise(left)].sort()).toEqual(texts.sort())
      })))

  it.live("an async function that is rejected discards its intents, and its caller gets its error", () =>
    Effect.flatMap(inScopeOfPage, (inScope) =>
      withRuntime(async (runtime) => {
        const error = new Error("no")
        const call = inScope(runtime, async (run) => {
          await run(note("gone"))
          throw error
        })
        await expect(call).rejects.toBe(error)
        expect(await runtime.runPromise(left)).toEqual([])
      })))

  it.live("an async function whose intents cannot leave is rejected with the FlushError", () =>
    Effect.flatMap(inScopeOfPage, (inScope) =>
      withRuntime(async (runtime) => {
        const call = inScope(runtime, async (run) => {
          await run(note("fails"))
          return 1
        })
        await expect(call).rejects.toBeInstanceOf(AirlockError.FlushError)
      })))
})

describe("a service whose methods have no requirements", () => {
  class Notes extends Context.Tag("test/Notes")<Notes, { readonly add: (text: string) => Effect.Effect<void> }>() {}

  const NotesLive = Layer.succeed(Notes, {
    add: (text) => note(text).pipe(Effect.asVoid, Effect.provide(Airlock.unchecked))
  })

  const live = NotesLive.pipe(Layer.provideMerge(layer()))

  const add = (text: string) => Effect.flatMap(Notes, (notes) => notes.add(text))

  it.effect("enqueues into the scope of each caller, though it was built before", () =>
    Effect.gen(function*() {
      const opened = yield* Deferred.make<void>()
      const first = yield* Effect.fork(
        add("first").pipe(Effect.zipRight(Deferred.await(opened)), Effect.zipRight(Effect.fail("no")), Airlock.scoped)
      )
      yield* add("second").pipe(Airlock.scoped)
      expect(yield* left).toEqual(["second"])
      yield* Deferred.succeed(opened, void 0)
      yield* Fiber.await(first)
      expect(yield* left).toEqual(["second"])
    }).pipe(Effect.provide(live)))

  it.effect("is a NoScopeError for a caller without a scope", () =>
    Effect.gen(function*() {
      const defect = yield* Effect.catchAllDefect(add("lost"), Effect.succeed)
      expect(defect).toBeInstanceOf(AirlockError.NoScopeError)
      expect(defect).toMatchObject({ task: "Note" })
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(live)))
})
