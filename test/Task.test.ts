import { describe, expect, it } from "@effect/vitest"
import {
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  Layer,
  Option,
  Runtime,
  Schedule,
  Schema,
  Scope
} from "effect"
import { Airlock, AirlockError, AirlockScope, Executor, Task } from "effect-airlock"
import { defectOf } from "./support/exits.js"
import { layer, left, note } from "./support/recorder.js"

const Job = Task.make("Job", { payload: Schema.Number })

const job = (n: number) => Airlock.enqueue(Job, n)

class Service extends Context.Tag("test/Service")<Service, string>() {}

describe("Task.make", () => {
  it("accepts the fields of a struct or a Schema, and refuses an empty name", () => {
    expect(Schema.is(Task.make("A", { payload: { a: Schema.Number } }).payloadSchema)({ a: 1 })).toBe(true)
    expect(Task.make("B", { payload: Schema.Void }).payloadSchema).toBe(Schema.Void)
    expect(() => Task.make("", { payload: Schema.Void })).toThrow("needs a name")
    expect([Task.isTask(Job), Task.isTask({ name: "Job" })]).toEqual([true, false])
  })
})

describe("the version of a task", () => {
  const payload = Schema.Void
  const same = (old: unknown) => [old]

  it("is 1, or a positive integer", () => {
    expect(Job.version).toBe(1)
    expect(Task.make("A", { payload, version: 2 }).version).toBe(2)
    for (const version of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 31, "2" as never]) {
      expect(() => Task.make("A", { payload, version })).toThrow(
        new RangeError(`The task "A" needs a version that is a positive integer, and got ${version}`)
      )
    }
  })

  it("can have upcasts for the versions before it, which nobody can change", () => {
    const upcast = { 1: same, 3: same }
    const task = Task.make("A", { payload, version: 4, upcast })
    upcast[1] = () => []
    expect(task.upcast).toEqual({ 1: same, 3: same })
    expect(Object.isFrozen(task.upcast)).toBe(true)
    expect([Job.upcast, Job.retry]).toEqual([undefined, undefined])
  })

  it("has no upcast for another version", () => {
    const made = (version: number, upcast: Task.Upcasts | Record<string, unknown>) => () =>
      Task.make("A", { payload, version, upcast: upcast as Task.Upcasts })
    expect(made(1, { 1: same })).toThrow(
      new RangeError(
        "The task \"A\" has an upcast for \"1\". Its version is 1, so it can have upcasts for no version: raise its version"
      )
    )
    expect(made(2, { 2: same })).toThrow("for \"2\". Its version is 2, so it can have upcasts for version 1")
    for (const key of ["0", "3", "1.5", "01", "one"]) {
      expect(made(3, { [key]: same })).toThrow(
        `for "${key}". Its version is 3, so it can have upcasts for the versions 1 to 2`
      )
    }
    expect(made(3, { 1: same, 2: "same" })).toThrow(
      new TypeError("The upcast of the task \"A\" for version 2 is no function")
    )
  })
})

describe("the retry of a task", () => {
  const made = (retry: object) => () => Task.make("A", { payload: Schema.Void, retry }).retry

  it("is kept, and nobody can change it", () => {
    const retry = { maxAttempts: 1, schedule: Schedule.exponential("1 second"), timeout: "1 minute" } as const
    expect(made(retry)()).toEqual(retry)
    expect(Object.isFrozen(made(retry)())).toBe(true)
    expect(made({ timeout: Infinity })()).toEqual({ timeout: Infinity })
  })

  it("is refused if it is out of its range", () => {
    for (const maxAttempts of [0, -1, 1.5, Number.NaN, Infinity]) {
      expect(made({ maxAttempts })).toThrow(
        new RangeError(`The task "A" needs a maxAttempts that is a positive integer, and got ${maxAttempts}`)
      )
    }
    for (const timeout of [0, -1, "0 seconds", "soon", Number.NaN]) {
      expect(made({ timeout })).toThrow(
        new RangeError("The task \"A\" needs a retry.timeout that is a duration above 0")
      )
    }
    expect(made({ schedule: "1 minute" })).toThrow(
      new TypeError("The task \"A\" has a retry.schedule that is no Schedule")
    )
  })
})

describe("a handler", () => {
  it.effect("is registered with the version, the upcasts and the retry of its task", () =>
    Effect.gen(function*() {
      const upcast = { 1: (old: unknown) => [old] }
      const retry = { maxAttempts: 3 }
      const Versioned = Task.make("Versioned", { payload: Schema.Number, version: 2, upcast, retry })
      const task = Effect.map(Airlock.Airlock, ({ handlers }) => handlers.task("Versioned"))
      expect(yield* Effect.provide(task, Versioned.toLayer(() => Effect.void))).toEqual({
        name: "Versioned",
        payloadSchema: Schema.Number,
        version: 2,
        upcast,
        retry
      })
    }).pipe(Effect.provide(layer())))

  it.effect("that is transactional runs in this process as any other", () =>
    Effect.gen(function*() {
      const Live = Job.toLayer((n) => note(`job ${n}`), { transactional: true })
      yield* job(1).pipe(Airlock.scoped, Effect.provide(Live))
      expect(yield* left).toEqual(["job 1"])
    }).pipe(Effect.provide(layer())))

  it.effect("gets the payload, the intent's id, the attempt and the time of the enqueue", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const Live = Job.toLayer((n, context) => Effect.sync(() => void seen.push([n, context])))
      const id = yield* job(7).pipe(Airlock.scoped, Effect.provide(Live))
      expect(seen).toEqual([[7, { intentId: id, attempt: 1, enqueuedAt: 0 }]])
    }).pipe(Effect.provide(layer())))

  it.effect("runs in the context of its Layer, not in that of the enqueue", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const Live = Job.toLayer(() =>
        Effect.flatMap(Effect.serviceOption(Service), (service) => Effect.sync(() => seen.push(service)))
      )
      yield* job(1).pipe(Airlock.scoped, Effect.provideService(Service, "the request's"), Effect.provide(Live))
      const Given = Job.toLayer(() => Effect.flatMap(Service, (service) => Effect.sync(() => seen.push(service)))).pipe(
        Layer.provide(Layer.succeed(Service, "the handler's"))
      )
      yield* job(1).pipe(Airlock.scoped, Effect.provideService(Service, "the request's"), Effect.provide(Given))
      expect(seen).toMatchObject([{ _tag: "None" }, "the handler's"])
      expect(yield* Effect.serviceOption(Service)).toMatchObject({ _tag: "None" })
    }).pipe(Effect.provide(layer())))

  it.effect("dispatches its own intents if it succeeds, and discards them if it fails", () =>
    Effect.gen(function*() {
      const Live = Job.toLayer((n) => n > 0 ? note(`job ${n}`) : Effect.zipRight(note("never"), Effect.fail("no")))
      yield* Effect.forEach([1, 2], job).pipe(Airlock.scoped, Effect.provide(Live))
      expect(yield* left).toEqual(["job 1", "job 2"])
      yield* Effect.exit(job(0).pipe(Airlock.scoped, Effect.provide(Live)))
      expect(yield* left).toEqual(["job 1", "job 2"])
    }).pipe(Effect.provide(layer())))

  it.effect("fails if one of its own intents cannot leave", () =>
    Effect.gen(function*() {
      const Live = Job.toLayer(() => note("fail"))
      const error = yield* Effect.flip(job(1).pipe(Airlock.scoped, Effect.provide(Live)))
      expect(error.message).toContain("Dispatching \"Job\" failed")
      expect(error.message).toContain("Dispatching \"Note\" failed: fail")
    }).pipe(Effect.provide(layer())))

  it.effect("releases the resources of each run when that run ends", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const Live = Job.toLayer((n) =>
        Effect.gen(function*() {
          const scope = yield* Scope.Scope
          log.push(`acquire ${n}`)
          yield* Scope.addFinalizer(scope, Effect.sync(() => log.push(`release ${n}`)))
        })
      )
      yield* Effect.forEach([1, 2], job).pipe(Airlock.scoped, Effect.provide(Live))
      expect(log).toEqual(["acquire 1", "release 1", "acquire 2", "release 2"])
    }).pipe(Effect.provide(layer())))

  it.effect("fails alone if its function throws, and the next one runs", () =>
    Effect.gen(function*() {
      const Live = Job.toLayer((n) => {
        if (n === 0) {
          throw new Error("thrown")
        }
        return note(`job ${n}`)
      })
      const error = yield* Effect.flip(Effect.forEach([0, 1], job).pipe(Airlock.scoped, Effect.provide(Live)))
      expect(error.message).toContain("thrown")
      expect(yield* left).toEqual(["job 1"])
    }).pipe(Effect.provide(layer())))

  it.effect("refuses an enqueue of its daemon after it has ended, while a later handler runs", () =>
    Effect.gen(function*() {
      const go = yield* Deferred.make<void>()
      const daemons: Array<Fiber.Fiber<unknown, unknown>> = []
      const Live = Job.toLayer((n) =>
        n === 0
          ? Effect.map(
            Effect.forkDaemon(Effect.zipRight(Deferred.await(go), note("stray"))),
            (fiber) => daemons.push(fiber)
          )
          : Effect.zipRight(Deferred.succeed(go, void 0), Effect.forEach([1, 2, 3], () => Effect.yieldNow()))
      )
      yield* Effect.forEach([0, 1], job).pipe(Airlock.scoped, Effect.provide(Live))
      expect(yield* defectOf(Fiber.join(daemons[0]!))).toMatchObject({ _tag: "ScopeClosedError" })
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("refuses an enqueue through its captured runtime after it has ended, while a later handler runs", () =>
    Effect.gen(function*() {
      const runtimes: Array<Runtime.Runtime<AirlockScope>> = []
      const Live = Job.toLayer((n) =>
        n === 0
          ? Effect.zipRight(
            Effect.yieldNow(),
            Effect.map(Effect.runtime<AirlockScope>(), (runtime) => runtimes.push(runtime))
          )
          : Effect.flatMap(
            Effect.promise(() => Runtime.runPromiseExit(runtimes[0]!)(note("stray"))),
            (exit) => Effect.flatMap(defectOf(exit), (defect) => Effect.sync(() => defects.push(defect)))
          )
      )
      const defects: Array<unknown> = []
      yield* Effect.forEach([0, 1], job).pipe(Airlock.scoped, Effect.provide(Live))
      expect(defects).toMatchObject([{ _tag: "ScopeClosedError" }])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("refuses an enqueue through its captured runtime when a later handler began in the same turn of the event loop", () =>
    Effect.gen(function*() {
      const late: Array<Promise<Exit.Exit<unknown, unknown>>> = []
      const Live = Job.toLayer((n) =>
        n === 0
          ? Effect.map(Effect.runtime<AirlockScope>(), (runtime) => {
            late.push(Promise.resolve().then(() => Runtime.runPromiseExit(runtime)(note("stray"))))
          })
          : n === 1
          ? Effect.void
          : Effect.promise(() => late[0]!)
      )
      yield* Effect.forEach([0, 1, 2], job).pipe(Airlock.scoped, Effect.provide(Live))
      const exit = yield* Effect.promise(() => late[0]!)
      expect(yield* defectOf(exit)).toMatchObject({ _tag: "ScopeClosedError" })
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("has a scope of its own, which is settled when it has ended", () =>
    Effect.gen(function*() {
      const states: Array<string> = []
      const views: Array<{ readonly state: string }> = []
      const Live = Job.toLayer(() =>
        Effect.map(Airlock.current, (view) => {
          views.push(Option.getOrThrow(view))
          states.push(views[0]!.state)
        })
      )
      yield* job(1).pipe(Airlock.scoped, Effect.provide(Live))
      expect([states, views.map(({ state }) => state)]).toEqual([["open"], ["flushed"]])
    }).pipe(Effect.provide(layer())))

  it.effect("knows the handlers that led to it, though one that others led to ran before it in its batch", () =>
    Effect.gen(function*() {
      const First = Task.make("First", { payload: Schema.Void })
      const Second = Task.make("Second", { payload: Schema.Void })
      const errors: Array<unknown> = []
      const Live = Layer.mergeAll(
        First.toLayer(() => job(1)),
        Second.toLayer(() => job(2)),
        Job.toLayer(() => Effect.map(defectOf(note("too deep")), (defect) => errors.push(defect)))
      )
      yield* Effect.all([Airlock.enqueue(First, undefined), Airlock.enqueue(Second, undefined)]).pipe(
        Airlock.scoped({ executor: Executor.drain() }),
        Effect.provide(Live)
      )
      expect(errors).toMatchObject([{ chain: ["First", "Job"] }, { chain: ["Second", "Job"] }])
    }).pipe(Effect.provide(layer({ maxCascade: 2 }))))

  it.effect("can enqueue from a callback through its runtime while it runs", () =>
    Effect.gen(function*() {
      const Live = Job.toLayer((n) =>
        Effect.flatMap(Effect.runtime<AirlockScope>(), (runtime) =>
          Effect.promise(async () => {
            await Promise.resolve()
            await Runtime.runPromise(runtime)(note(`job ${n}`))
          }))
      )
      yield* Effect.forEach([1, 2], job).pipe(Airlock.scoped, Effect.provide(Live))
      expect(yield* left).toEqual(["job 1", "job 2"])
    }).pipe(Effect.provide(layer())))

  it.effect("does not see FiberRefs that another handler of its batch has set", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("initial")
      const seen: Array<string> = []
      const Live = Job.toLayer((n) => Effect.map(FiberRef.getAndSet(ref, `set by ${n}`), (value) => seen.push(value)))
      yield* Effect.forEach([1, 2, 3], (n) => Airlock.enqueue(Job, n)).pipe(Airlock.scoped, Effect.provide(Live))
      expect(seen).toEqual(["initial", "initial", "initial"])
    }).pipe(Effect.provide(layer())))

  it.effect("refuses a payload that only another task of the same name accepts", () =>
    Effect.gen(function*() {
      const Other = Task.make("Job", { payload: Schema.String })
      const Live = Job.toLayer((n) => note(`job ${n}`))
      const error = yield* Airlock.enqueue(Other, "text").pipe(Airlock.scoped, Effect.provide(Live), Effect.flip)
      expect(error.failures[0]?.reason.message).toContain("payload: expected number")
      const Same = Task.make("Job", { payload: Schema.Int })
      yield* Airlock.enqueue(Same, 1).pipe(Airlock.scoped, Effect.provide(Live))
      expect(yield* left).toEqual(["job 1"])
    }).pipe(Effect.provide(layer())))
})

describe("a handler's Layer", () => {
  it.effect("refuses a second handler for the same name", () =>
    Effect.gen(function*() {
      const Twice = Layer.merge(Job.toLayer(() => Effect.void), Job.toLayer(() => Effect.void))
      const defect = yield* defectOf(Effect.void.pipe(Effect.provide(Twice)))
      expect(defect).toBeInstanceOf(AirlockError.DuplicateTaskError)
    }).pipe(Effect.provide(layer())))

  it.effect("starts no handler when it closes, and waits for the running ones", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const started = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const Live = Job.toLayer(() =>
        Deferred.succeed(started, void 0).pipe(
          Effect.zipRight(Deferred.await(go)),
          Effect.zipRight(Effect.sync(() => log.push("ended")))
        )
      )
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Live, scope)
      const run = yield* Effect.fork(job(1).pipe(Airlock.scoped))
      yield* Deferred.await(started)
      const closing = yield* Effect.fork(
        Effect.zipRight(Scope.close(scope, Exit.void), Effect.sync(() => log.push("closed")))
      )
      yield* Effect.yieldNow()
      const error = yield* Effect.flip(Airlock.scoped(job(2)))
      expect(error.failures[0]?.reason._tag).toBe("UnknownTaskError")
      yield* Deferred.succeed(go, void 0)
      yield* Fiber.join(closing)
      yield* Fiber.join(run)
      expect(log).toEqual(["ended", "closed"])
    }).pipe(Effect.provide(layer())))
})
