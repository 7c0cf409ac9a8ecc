/**
 * What holds for the interception of each engine.
 */
import { expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Either, Exit, Fiber, Layer, Runtime, type Scope } from "effect"
import { Airlock, AirlockLive, Executor, Policy } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { setImmediate as turn } from "node:timers/promises"
import type { Interception, InterceptOptions } from "../../src/internal/engine/direct/intercept.js"
import { application, storedPayloads } from "./outbox.js"
import { until } from "./until.js"
import { recordWarnings, type Warnings, warnings } from "./warnings.js"

export interface AddedJob {
  readonly name: string
  readonly data: unknown
}

export interface Engine<Target> {
  /** An object of the engine, without jobs. */
  readonly open: Effect.Effect<Target, never, Scope.Scope>
  readonly intercept: (
    target: Target,
    options?: InterceptOptions
  ) => Effect.Effect<Interception, never, Airlock.Airlock | Scope.Scope>
  /** The application's own code, which knows nothing of Airlock. */
  readonly add: (target: Target, name: string, data: object) => Promise<unknown>
  readonly addDirectly: (target: Target, name: string, data: object) => Promise<unknown>
  /** The method that `add` calls. */
  readonly method: string
  readonly prefix: string
  /** The jobs that the engine has, in the order in which it got them. */
  readonly jobs: (target: Target) => Effect.Effect<ReadonlyArray<AddedJob>>
  /** Runs the jobs of these names by the engine's own worker. */
  readonly work: (
    target: Target,
    names: ReadonlyArray<string>,
    processor: (job: AddedJob) => Promise<void>,
    wrapped: boolean
  ) => Effect.Effect<void, never, Airlock.Airlock | Scope.Scope>
}

/** The names of the jobs of these tests. */
export const jobNames = ["receipt", "invoice", "followUp"]

export const interceptTests = <Target extends object>(engine: Engine<Target>): void => {
  const { add, addDirectly, intercept, jobs, method, open, prefix, work } = engine

  const scenario = <E>(
    name: string,
    body: (target: Target) => Effect.Effect<unknown, E, Airlock.Airlock | Scope.Scope | Warnings>
  ) =>
    it.scopedLive(
      name,
      () => Effect.flatMap(open, body).pipe(Effect.provide(Layer.merge(AirlockLive, recordWarnings)))
    )

  /** Code of a request that knows nothing of Effect. */
  const checkout = async (target: Target, order: number) => {
    await turn()
    await add(target, "receipt", { order })
    await turn()
    await add(target, "invoice", { order })
  }

  const both = (order: number) => [{ name: "receipt", data: { order } }, { name: "invoice", data: { order } }]

  scenario("adds the jobs of Promise code when its scope succeeds, and not before", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      yield* Effect.gen(function*() {
        yield* Effect.promise(() => checkout(target, 1))
        expect((yield* Airlock.intents).map(({ task }) => task.name)).toEqual([
          `${prefix}/receipt`,
          `${prefix}/invoice`
        ])
        expect(yield* jobs(target)).toEqual([])
      }).pipe(Airlock.scoped)
      expect(yield* jobs(target)).toEqual(both(1))
    }))

  scenario(
    "holds in the fiber that provides its Layer, before that fiber has waited once",
    (target) =>
      Effect.gen(function*() {
        const Intercepted = Layer.scopedDiscard(intercept(target))
        yield* Effect.promise(() => checkout(target, 1)).pipe(
          Effect.zipRight(Effect.fail("no stock")),
          Airlock.scoped,
          Effect.ignore,
          Effect.provide(Layer.merge(Intercepted, Layer.effectDiscard(Effect.void)))
        )
        expect(yield* jobs(target)).toEqual([])
      })
  )

  scenario("adds no job if the scope fails", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      yield* Effect.promise(() => checkout(target, 1)).pipe(
        Effect.zipRight(Effect.fail("no stock")),
        Airlock.scoped,
        Effect.ignore
      )
      expect(yield* jobs(target)).toEqual([])
    }))

  scenario(
    "lets the application's own worker run its jobs, and those from before the migration",
    (target) =>
      Effect.gen(function*() {
        const ran: Array<AddedJob> = []
        yield* Effect.promise(() => add(target, "receipt", { order: 1, items: ["a"] }))
        yield* intercept(target)
        yield* Effect.promise(() => add(target, "receipt", { order: 2, items: ["b"] })).pipe(Airlock.scoped)
        yield* work(target, ["receipt"], async (job) => void ran.push(job), false)
        yield* until(Effect.sync(() => ran.length === 2))
        expect(ran).toEqual([
          { name: "receipt", data: { order: 1, items: ["a"] } },
          { name: "receipt", data: { order: 2, items: ["b"] } }
        ])
      })
  )

  scenario("keeps the jobs of 50 concurrent requests apart", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const held = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, order) => order),
        (order) =>
          Effect.promise(() => checkout(target, order)).pipe(
            Effect.zipRight(Airlock.intents),
            Effect.map((intents) => intents.map(({ payload }) => JSON.stringify(payload))),
            Effect.filterOrFail(() => order % 2 === 0, () => "odd"),
            Airlock.scoped,
            Effect.either
          ),
        { concurrency: "unbounded" }
      )
      held.forEach((payloads, order) => {
        if (order % 2 === 0) {
          expect(Either.getOrThrow(payloads).every((payload) => payload.includes(`"order":${order}}`))).toBe(true)
        }
      })
      const orders = (yield* jobs(target)).map(({ data }) => (data as { order: number }).order)
      expect(orders.sort((a, b) => a - b)).toEqual(
        Array.from({ length: 25 }, (_, index) => [index * 2, index * 2]).flat()
      )
    }))

  scenario(
    "does not find the scope of another request in code that no fiber of a scope has called",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        const called = yield* Deferred.make<void>()
        const request = Effect.gen(function*() {
          // Runs an Effect of its own from Promise code, which wakes the fiber outside.
          yield* Effect.promise(async () => {
            await turn()
            await Effect.runPromise(Deferred.succeed(called, undefined))
            await turn()
          })
          yield* Effect.promise(() => checkout(target, 1))
          return yield* Effect.fail("no stock")
        }).pipe(Airlock.scoped, Effect.ignore)
        const outside = Effect.zipRight(Deferred.await(called), Effect.promise(() => checkout(target, 2)))
        yield* Effect.all([request, outside], { concurrency: "unbounded" })
        expect(yield* jobs(target)).toEqual(both(2))
      })
  )

  scenario(
    "does not find the scope of another request in a fiber that does not run below the interception",
    (target) =>
      Effect.gen(function*() {
        const called = yield* Deferred.make<void>()
        const outside = Effect.runFork(
          Effect.zipRight(Deferred.await(called), Effect.promise(() => checkout(target, 2)))
        )
        yield* intercept(target)
        // The turn of the scope wakes the other fiber.
        yield* Deferred.succeed(called, undefined).pipe(
          Effect.zipRight(Fiber.await(outside)),
          Effect.zipRight(Effect.fail("no stock")),
          Airlock.scoped,
          Effect.ignore
        )
        expect(yield* jobs(target)).toEqual(both(2))
      })
  )

  scenario("a call that comes too late for a plan adds no job", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const ended = yield* Deferred.make<void>()
      const refused = yield* Deferred.make<unknown>()
      yield* Effect.promise(async () => {
        await turn()
        void Effect.runPromise(Deferred.await(ended)).then(() => add(target, "receipt", { order: 1 })).then(
          () => Effect.runPromise(Deferred.succeed(refused, undefined)),
          (error: unknown) => Effect.runPromise(Deferred.succeed(refused, error))
        )
      }).pipe(Airlock.plan)
      yield* Deferred.succeed(ended, undefined)
      expect(yield* Deferred.await(refused)).toMatchObject({ _tag: "ScopeClosedError" })
      expect(yield* jobs(target)).toEqual([])
    }))

  scenario(
    "a call outside of a scope goes to the engine at once, with a warning for each place",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        for (const order of [1, 2]) {
          yield* Effect.promise(() => checkout(target, order))
        }
        expect(yield* jobs(target)).toEqual([...both(1), ...both(2)])
        const logged = yield* warnings
        // Both jobs are added by the same function.
        expect(logged.length).toBe(2)
        expect(logged[0]).toContain(`"receipt" is added by a direct call of ${method} at `)
        expect(logged[0]).toMatch(/intercept\.test\.ts:\d+:\d+/)
        expect(logged[0]).toContain(`In a scope it is an intent of the task "${prefix}/receipt"`)
      })
  )

  scenario(
    "finds its own scope after it has started an Effect that has another one",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        const runtime = yield* Effect.runtime<Airlock.Airlock>()
        const added = yield* Deferred.make<void>()
        yield* Effect.promise(async () => {
          await turn()
          const other = Runtime.runPromiseExit(runtime)(
            Effect.zipRight(Deferred.await(added), Effect.fail("no stock")).pipe(Airlock.scoped({ independent: true }))
          )
          await turn()
          await add(target, "receipt", { order: 1 })
          await Effect.runPromise(Deferred.succeed(added, undefined))
          await other
        }).pipe(Airlock.scoped)
        expect(yield* jobs(target)).toEqual([{ name: "receipt", data: { order: 1 } }])
      })
  )

  scenario("a call inside a scope is warned of, too", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      yield* Effect.promise(() => checkout(target, 1)).pipe(Airlock.scoped)
      expect((yield* warnings).length).toBe(2)
    }))

  scenario("a call outside of a scope is refused if so configured", (target) =>
    Effect.gen(function*() {
      yield* intercept(target, { outside: "fail" })
      const fromFiber = yield* Effect.flip(Effect.tryPromise(() => add(target, "receipt", { order: 1 })))
      const fromNoFiber = yield* Effect.flip(Effect.tryPromise(async () => {
        await turn()
        await add(target, "receipt", { order: 1 })
      }))
      for (const { error } of [fromFiber, fromNoFiber] as ReadonlyArray<{ readonly error: any }>) {
        expect(error).toMatchObject({ _tag: "NoScopeError", task: `${prefix}/receipt` })
        expect(error.message).toMatch(/intercept\.test\.ts:\d+:\d+/)
      }
      expect(yield* jobs(target)).toEqual([])
    }))

  /** The calls of code that a scope has not awaited, after the scope has settled. */
  const lateCalls = (target: Target) =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const late: Array<Promise<unknown>> = []
      const floating = (order: number) =>
        Effect.promise(async () => {
          late.push(Effect.runPromise(Deferred.await(gate)).then(() => add(target, "receipt", { order })))
          await turn()
        })
      yield* floating(1).pipe(Airlock.scoped({ name: "first" }))
      yield* floating(2).pipe(
        Effect.zipRight(Effect.fail("no stock")),
        Airlock.scoped({ name: "second" }),
        Effect.ignore
      )
      yield* Deferred.succeed(gate, undefined)
      return yield* Effect.promise(() => Promise.allSettled(late))
    })

  scenario(
    "a call that comes too late for its scope is outside, with a warning of its own",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        expect((yield* lateCalls(target)).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"])
        const orders = (yield* jobs(target)).map(({ data }) => (data as { readonly order: number }).order)
        expect(orders.sort()).toEqual([1, 2])
        expect((yield* warnings)[1]).toMatch(/^"receipt" was added when its scope "first" had settled, so it went to /)
      })
  )

  scenario("a call that comes too late for its scope is refused if so configured", (target) =>
    Effect.gen(function*() {
      yield* intercept(target, { outside: "fail" })
      expect(yield* lateCalls(target)).toMatchObject([
        { status: "rejected", reason: { _tag: "ScopeClosedError", scope: "first" } },
        { status: "rejected", reason: { _tag: "ScopeClosedError", scope: "second" } }
      ])
      expect(yield* jobs(target)).toEqual([])
    }))

  scenario("stores the data as they were at the call", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const data = { order: 1, at: new Date(0), none: undefined }
      yield* Effect.promise(() => add(target, "receipt", data)).pipe(
        Effect.zipRight(Effect.sync(() => {
          data.order = 2
        })),
        Airlock.scoped
      )
      expect(yield* jobs(target)).toEqual([{ name: "receipt", data: { order: 1, at: "1970-01-01T00:00:00.000Z" } }])
    }))

  scenario("data that no engine could store are an error of the call", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const error = yield* Effect.tryPromise(() => add(target, "receipt", { order: 1n })).pipe(
        Airlock.scoped,
        Effect.flip
      )
      expect(String((error as Cause.UnknownException).error)).toContain("BigInt")
    }))

  scenario("asks the policies, by the names of the jobs", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      yield* Effect.promise(() => checkout(target, 1)).pipe(
        Airlock.scoped({ policy: Policy.blockTasks([`${prefix}/receipt`]) })
      )
      yield* Effect.promise(() => checkout(target, 2)).pipe(Airlock.scoped({ policy: Policy.dropAll }))
      expect(yield* jobs(target)).toEqual([{ name: "invoice", data: { order: 1 } }])
    }))

  scenario("a call that a policy refuses is rejected, with the place of the call", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const error = yield* Effect.tryPromise(() => add(target, "receipt", { order: 1 })).pipe(
        Airlock.scoped({ policy: Policy.assertNoEffects }),
        Effect.flip
      )
      expect((error as Cause.UnknownException).error).toMatchObject({ _tag: "PolicyViolation" })
      expect(String((error as Cause.UnknownException).error)).toMatch(/intercept\.test\.ts:\d+:\d+/)
    }))

  scenario("intercepts only the named jobs, and warns of no others", (target) =>
    Effect.gen(function*() {
      yield* intercept(target, { names: ["receipt"] })
      yield* Effect.promise(() => checkout(target, 1)).pipe(
        Effect.zipRight(Effect.fail("no stock")),
        Airlock.scoped,
        Effect.ignore
      )
      expect(yield* jobs(target)).toEqual([{ name: "invoice", data: { order: 1 } }])
      expect((yield* warnings).length).toBe(1)
    }))

  scenario(
    "a direct call goes to the engine at once, whatever becomes of the scope, without a warning",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target, { outside: "fail" })
        yield* Effect.promise(() => addDirectly(target, "receipt", { order: 1 })).pipe(
          Effect.zipRight(Effect.fail("no stock")),
          Airlock.scoped,
          Effect.ignore
        )
        yield* Effect.promise(() => addDirectly(target, "receipt", { order: 2 }))
        expect(yield* jobs(target)).toEqual([
          { name: "receipt", data: { order: 1 } },
          { name: "receipt", data: { order: 2 } }
        ])
        expect(yield* warnings).toEqual([])
      })
  )

  scenario(
    "an executor that adds jobs to the same object does not come round again",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        const executor = Executor.make({
          name: "same object",
          durable: false,
          capabilities: [],
          dispatch: (intents) =>
            Effect.forEach(intents, ({ payload }) =>
              Effect.promise(async () => {
                await turn()
                await add(target, "invoice", { payload })
                return Exit.void
              }))
        })
        yield* Effect.promise(() => add(target, "receipt", { order: 1 })).pipe(Airlock.scoped({ executor }))
        expect((yield* jobs(target)).map(({ name }) => name)).toEqual(["invoice"])
      })
  )

  scenario("it is an error to intercept an object twice", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const exit = yield* Effect.exit(intercept(target))
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("is intercepted already")
      // The first interception is in force.
      yield* Effect.promise(() => add(target, "receipt", { order: 1 })).pipe(
        Airlock.scoped({ policy: Policy.dropAll })
      )
      expect(yield* jobs(target)).toEqual([])
    }))

  scenario("it is an error to give two objects one prefix", (target) =>
    Effect.gen(function*() {
      const prefix = "shared"
      yield* Effect.scoped(intercept(target, { prefix }))
      yield* intercept(target, { prefix })
      const second = yield* open
      const exit = yield* Effect.exit(intercept(second, { prefix }))
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("with the prefix \"shared\"")
      yield* intercept(second, { prefix: "own" })
    }))

  scenario("a policy cannot add jobs", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const refused: Array<unknown> = []
      const policy = Policy.make({
        name: "adds",
        allows: () =>
          Effect.promise(() => add(target, "invoice", {}).catch((error: unknown) => refused.push(error))).pipe(
            Effect.as(true)
          )
      })
      yield* Effect.promise(() => add(target, "receipt", {})).pipe(Airlock.scoped({ policy }))
      expect(refused).toMatchObject([{ _tag: "PolicyEnqueueError" }])
      expect((yield* jobs(target)).map(({ name }) => name)).toEqual(["receipt"])
    }))

  scenario("to uninstall restores the original methods, also the second time", (target) =>
    Effect.gen(function*() {
      const descriptor = Object.getOwnPropertyDescriptor(target, method)
      const original = Reflect.get(target, method)
      const first = yield* Effect.scoped(Effect.gen(function*() {
        const interception = yield* intercept(target)
        expect(Reflect.get(target, method)).not.toBe(original)
        yield* interception.uninstall
        expect(Object.getOwnPropertyDescriptor(target, method)).toEqual(descriptor)
        yield* interception.uninstall
        expect(Reflect.get(target, method)).toBe(original)
        return interception
      }))
      expect(Reflect.get(target, method)).toBe(original)
      yield* intercept(target)
      // The first interception has ended.
      yield* first.uninstall
      yield* Effect.promise(() => checkout(target, 1)).pipe(Airlock.scoped({ policy: Policy.dropAll }))
      expect(yield* jobs(target)).toEqual([])
    }))

  scenario("to uninstall keeps what other code has put in the place of a method", (target) =>
    Effect.gen(function*() {
      const { uninstall } = yield* intercept(target)
      const ours: (...args: ReadonlyArray<unknown>) => unknown = Object(target)[method]
      let calls = 0
      const theirs = (...args: ReadonlyArray<unknown>) => {
        calls++
        return Reflect.apply(ours, target, args)
      }
      Reflect.set(target, method, theirs)
      yield* uninstall
      expect(Reflect.get(target, method)).toBe(theirs)
      yield* Effect.promise(() => add(target, "receipt", { order: 1 })).pipe(
        Airlock.scoped({ policy: Policy.dropAll })
      )
      expect(calls).toBe(1)
      expect((yield* jobs(target)).length).toBe(1)
    }))

  scenario("what is in a scope while it is uninstalled leaves as before", (target) =>
    Effect.gen(function*() {
      const { uninstall } = yield* intercept(target)
      yield* Effect.promise(() => checkout(target, 1)).pipe(Effect.zipRight(uninstall), Airlock.scoped)
      expect(yield* jobs(target)).toEqual(both(1))
    }))

  scenario(
    "a wrapped processor runs in a scope: what it adds leaves if it succeeds",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        const ended = yield* Deferred.make<void>()
        let duringJob: ReadonlyArray<AddedJob> | undefined
        yield* work(target, ["receipt"], async ({ data }) => {
          await turn()
          await add(target, "followUp", data as object)
          duringJob = (await Effect.runPromise(jobs(target))).filter(({ name }) => name === "followUp")
          await Effect.runPromise(Deferred.succeed(ended, undefined))
        }, true)
        yield* Effect.promise(() => addDirectly(target, "receipt", { order: 1 }))
        yield* Deferred.await(ended)
        const followUps = Effect.map(jobs(target), (jobs) => jobs.filter(({ name }) => name === "followUp"))
        yield* until(Effect.map(followUps, ({ length }) => length === 1))
        expect(duringJob).toEqual([])
      })
  )

  scenario(
    "the scope of a wrapped processor is not inside that in which it was wrapped",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        yield* Effect.gen(function*() {
          yield* work(
            target,
            ["receipt"],
            async ({ data }) => void (await add(target, "followUp", data as object)),
            true
          )
          yield* Effect.promise(() => addDirectly(target, "receipt", { order: 1 }))
          yield* until(Effect.map(jobs(target), (jobs) => jobs.some(({ name }) => name === "followUp")))
        }).pipe(Airlock.scoped)
      })
  )

  scenario(
    "a wrapped processor that fails adds nothing, and the engine gets its error",
    (target) =>
      Effect.gen(function*() {
        yield* intercept(target)
        const attempts: Array<number> = []
        yield* work(target, ["receipt", "invoice"], async ({ data, name }) => {
          if (name === "receipt") {
            await add(target, "followUp", data as object)
            attempts.push(1)
            throw new Error("no paper")
          }
          attempts.push(2)
        }, true)
        yield* Effect.promise(() => addDirectly(target, "receipt", { order: 1 }))
        yield* until(Effect.sync(() => attempts.includes(1)))
        // The worker goes on.
        yield* Effect.promise(() => addDirectly(target, "invoice", { order: 1 }))
        yield* until(Effect.sync(() => attempts.includes(2)))
        expect((yield* jobs(target)).filter(({ name }) => name === "followUp")).toEqual([])
      })
  )

  scenario("an intent that is dispatched twice is one job", (target) =>
    Effect.gen(function*() {
      yield* intercept(target)
      const executor = Executor.make({
        name: "twice",
        durable: false,
        capabilities: [],
        dispatch: (intents, handlers) => Effect.zipRight(handlers.run(intents), handlers.run(intents))
      })
      yield* Effect.promise(() => checkout(target, 1)).pipe(Airlock.scoped({ executor }))
      expect(yield* jobs(target)).toEqual(both(1))
    }))

  it.scopedLive("with an outbox, a call is stored with its transaction, and a relay that knows its name adds the job", () =>
    Effect.gen(function*() {
      const target = yield* open
      yield* Effect.gen(function*() {
        yield* intercept(target)
        yield* SqlTransaction.transaction(Effect.promise(() => checkout(target, 1)))
        yield* Effect.promise(() => checkout(target, 2)).pipe(
          Effect.zipRight(Effect.fail("no stock")),
          SqlTransaction.transaction,
          Effect.ignore
        )
      }).pipe(Effect.scoped)
      expect((yield* storedPayloads).length).toBe(2)
      expect(yield* jobs(target)).toEqual([])
      // After a restart.
      yield* Effect.gen(function*() {
        yield* intercept(target, { names: ["receipt", "invoice"] })
        yield* Layer.build(Outbox.relay({ pollInterval: "20 millis" }))
        yield* until(Effect.map(jobs(target), ({ length }) => length === 2))
      }).pipe(Effect.scoped)
      expect((yield* jobs(target)).map(({ name }) => name).sort()).toEqual(["invoice", "receipt"])
    }).pipe(Effect.provide(Layer.merge(application, recordWarnings))))
}
