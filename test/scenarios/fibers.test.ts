/**
 * I6 in the operators that people use: a scope succeeds, and an intent leaves unless a fiber of its branch failed, or was
 * interrupted while another one waited for it.
 */
import { describe, expect, it } from "@effect/vitest"
import {
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberSet,
  Layer,
  Logger,
  LogLevel,
  ManagedRuntime,
  Metric,
  Queue,
  Request,
  RequestResolver,
  Runtime,
  Schedule,
  Scope,
  Stream
} from "effect"
import { Airlock, AirlockMetrics, AirlockScope, Policy } from "effect-airlock"
import { batched, type Get, get, getBy, resolving } from "../support/batching.js"
import { letOthersRun } from "../support/letOthersRun.js"
import { layer, left, note } from "../support/recorder.js"

type Program = Effect.Effect<unknown, unknown, Airlock.Airlock | AirlockScope>

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

/** Runs Promise code that enqueues by the captured runtime of the fiber, after an await. */
const byCallback = (text: string) =>
  Effect.flatMap(Effect.runtime<AirlockScope>(), (runtime) =>
    Effect.promise(async () => {
      await Promise.resolve()
      await Runtime.runPromise(runtime)(note(text))
    }))

/** Loses a race against a fiber that wins when the loser has done its work. */
const lose = <E, R>(work: Effect.Effect<unknown, E, R>) =>
  Effect.flatMap(Deferred.make<void>(), (done) =>
    Effect.race(
      work.pipe(Effect.zipRight(Deferred.succeed(done, void 0)), Effect.zipRight(Effect.never)),
      Deferred.await(done)
    ))

/** It drops nothing, but it is a policy: so the region is one. */
const noPolicy = Policy.make({ name: "no policy", allows: () => Effect.succeed(true as const) })

const failAfter = (text: string) => Effect.zipRight(note(text), Effect.fail("no"))

interface Case {
  readonly program: Program
  readonly leaves: ReadonlyArray<string>
}

const check = (cases: Record<string, Case>) => {
  for (const [name, { leaves, program }] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* Airlock.scoped(program)
        expect((yield* left).sort()).toEqual([...leaves].sort())
      }).pipe(quiet, Effect.provide(layer())))
  }
}

describe("I6: the fate of a fiber is taken when it ends", () => {
  check({
    "a joined fiber that is interrupted later keeps its intents": {
      program: Effect.zipRight(
        Effect.acquireUseRelease(Effect.fork(note("a")), Fiber.join, Fiber.interrupt),
        letOthersRun
      ),
      leaves: ["a"]
    },
    "awaited fibers that are interrupted later keep their intents": {
      program: Effect.gen(function*() {
        const fibers = [yield* Effect.fork(note("a")), yield* Effect.fork(note("b"))]
        yield* Fiber.awaitAll(fibers)
        yield* Fiber.interruptAll(fibers)
        yield* letOthersRun
      }),
      leaves: ["a", "b"]
    },
    "a fiber of a Scope that closes after its end keeps its intents": {
      program: Effect.scoped(Effect.flatMap(Effect.forkScoped(note("a")), Fiber.await)),
      leaves: ["a"]
    },
    "a fiber that fails and is interrupted later discards its intents": {
      program: Effect.flatMap(
        Effect.fork(failAfter("a")),
        (fiber) => Effect.zipRight(Fiber.await(fiber), Fiber.interrupt(fiber))
      ),
      leaves: []
    },
    "an interrupted child of the scope's fiber discards its intents": {
      program: Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.zipRight(note("a"), Effect.never))
        yield* letOthersRun
        yield* Fiber.interrupt(fiber)
      }),
      leaves: []
    }
  })
})

describe("I6: what was joined is part of the fiber that joined it", () => {
  check({
    "a fiber that a loser forked and the winner joined keeps its intents": {
      program: Effect.flatMap(Deferred.make<Fiber.Fiber<unknown>>(), (handed) =>
        Effect.race(
          Effect.forkDaemon(note("a")).pipe(
            Effect.flatMap((fiber) => Deferred.succeed(handed, fiber)),
            Effect.zipRight(Effect.never)
          ),
          Effect.flatMap(Deferred.await(handed), Fiber.join)
        )),
      leaves: ["a"]
    },
    "a fiber that a failed fiber joined discards its intents": {
      program: Effect.gen(function*() {
        const shared = yield* Effect.forkDaemon(note("a"))
        const joiner = yield* Effect.fork(Effect.zipRight(Fiber.join(shared), Effect.fail("no")))
        yield* Fiber.await(joiner)
      }),
      leaves: []
    },
    "a fiber that several joined keeps its intents if one of them succeeds": {
      program: Effect.gen(function*() {
        const shared = yield* Effect.forkDaemon(note("a"))
        yield* Effect.ignore(Effect.timeout(Effect.zipRight(Fiber.join(shared), Effect.fail("no")), "1 second"))
        yield* Fiber.join(shared)
        yield* Effect.ignore(Effect.timeout(Effect.zipRight(Fiber.join(shared), Effect.fail("no")), "1 second"))
      }),
      leaves: ["a"]
    },
    "two fibers that join each other keep their intents": {
      program: Effect.gen(function*() {
        const joined = yield* Deferred.make<Fiber.Fiber<unknown>>()
        const first = yield* Effect.fork(
          Effect.flatMap(
            Effect.forkDaemon(Effect.flatMap(Deferred.await(joined), Fiber.join)),
            (second) => Effect.as(note("a"), second)
          )
        )
        const second = yield* Fiber.join(first)
        yield* Deferred.succeed(joined, first)
        yield* Fiber.join(second)
      }),
      leaves: ["a"]
    },
    "a fiber that was joined in an inner scope that fails keeps the intents that it enqueued into the outer one": {
      program: Effect.gen(function*() {
        const shared = yield* Effect.forkDaemon(note("a"))
        yield* Effect.ignore(Airlock.scoped(Effect.zipRight(Fiber.join(shared), Effect.fail("no"))))
      }),
      leaves: ["a"]
    }
  })
})

describe("I6: an unsupervised fiber that is interrupted was stopped, and what it did before stays", () => {
  const endlessly = (text: string) => Effect.zipRight(note(text), Effect.never)
  check({
    "a daemon": {
      program: Effect.gen(function*() {
        const fiber = yield* Effect.forkDaemon(endlessly("a"))
        yield* letOthersRun
        yield* Fiber.interrupt(fiber)
      }),
      leaves: ["a"]
    },
    "a fiber that was forked into a Scope": {
      program: Effect.scoped(Effect.zipRight(Effect.forkScoped(endlessly("a")), letOthersRun)),
      leaves: ["a"]
    },
    "a fiber of a FiberSet": {
      program: Effect.scoped(Effect.gen(function*() {
        const set = yield* FiberSet.make()
        yield* FiberSet.run(set, endlessly("a"))
        yield* letOthersRun
      })),
      leaves: ["a"]
    },
    "but not a daemon that a loser forked": {
      program: Effect.gen(function*() {
        const forked = yield* Deferred.make<Fiber.Fiber<unknown>>()
        yield* lose(
          Effect.forkDaemon(endlessly("a")).pipe(
            Effect.flatMap((fiber) => Deferred.succeed(forked, fiber)),
            Effect.zipRight(letOthersRun)
          )
        )
        yield* Fiber.interrupt(yield* Deferred.await(forked))
      }),
      leaves: []
    },
    "but not a daemon that failed": {
      program: Effect.zipRight(Effect.forkDaemon(failAfter("a")), letOthersRun),
      leaves: []
    },
    "but not a disconnected Effect that lost a race": {
      program: Effect.zipRight(lose(Effect.disconnect(endlessly("a"))).pipe(Effect.timeoutOption(0)), letOthersRun),
      leaves: []
    },
    "and not a worker of a concurrent Effect.forEach whose sibling failed": {
      program: Effect.gen(function*() {
        const enqueued = yield* Deferred.make<void>()
        const worker = Effect.zipRight(note("a"), Effect.zipRight(Deferred.succeed(enqueued, void 0), Effect.never))
        yield* Effect.ignore(
          Effect.all([worker, Effect.zipRight(Deferred.await(enqueued), Effect.fail("no"))], { concurrency: 2 })
        )
      }),
      leaves: []
    }
  })
})

describe("I6: a Stream that succeeds loses nothing", () => {
  const source = Stream.make("a", "b", "c").pipe(Stream.tap(note))
  const all = ["a", "b", "c"]
  const stages: Record<string, Stream.Stream<unknown, unknown, Airlock.Airlock | AirlockScope>> = {
    "before a concurrent mapEffect": Stream.mapEffect(source, Effect.succeed, { concurrency: 2 }),
    "before an unordered concurrent mapEffect": Stream.mapEffect(source, Effect.succeed, {
      concurrency: 2,
      unordered: true
    }),
    "before a concurrent flatMap": Stream.flatMap(source, Stream.make, { concurrency: 2 }),
    "before a buffer": Stream.buffer(source, { capacity: 1 }),
    "before groupedWithin": Stream.groupedWithin(source, 2, "1 second"),
    "before aggregateWithin": Stream.rechunk(source, 1).pipe(Stream.debounce(0)),
    "before toQueue": Stream.unwrapScoped(
      Effect.map(Stream.toQueue(source), (queue) => Stream.flattenTake(Stream.fromQueue(queue)))
    ),
    "before broadcast": Stream.unwrapScoped(
      Effect.map(Stream.broadcast(source, 2, 4), ([one, two]) => Stream.merge(one, two))
    ),
    "before partition": Stream.unwrapScoped(
      Effect.map(Stream.partition(source, (text) => text === "a"), ([one, two]) => Stream.merge(one, two))
    ),
    "before zip": Stream.zip(source, Stream.range(1, 3)),
    "before merge": Stream.merge(source, Stream.empty),
    "in a Stream of several concurrent stages": source.pipe(
      Stream.mapEffect(Effect.succeed, { concurrency: 2 }),
      Stream.buffer({ capacity: 1 }),
      Stream.mapEffect(Effect.succeed, { concurrency: 3 }),
      Stream.groupedWithin(2, "1 second")
    )
  }
  check(Object.fromEntries(
    Object.entries(stages).map(([name, stream]) => [name, {
      program: Effect.fork(Stream.runDrain(stream)).pipe(Effect.flatMap(Fiber.join)),
      leaves: all
    }])
  ))
  check({
    "before a concurrent mapEffect of an endless Stream that take cuts": {
      program: Stream.iterate(1, (n) => n + 1).pipe(
        Stream.rechunk(1),
        Stream.tap((n) => n <= 2 ? note(`${n}`) : Effect.void),
        Stream.mapEffect(Effect.succeed, { concurrency: 2 }),
        Stream.take(2),
        Stream.runDrain
      ),
      leaves: ["1", "2"]
    },
    "in a Stream that a queue feeds, and that is stopped": {
      program: Effect.gen(function*() {
        const queue = yield* Queue.unbounded<string>()
        const fiber = yield* Stream.fromQueue(queue).pipe(
          Stream.mapEffect(note, { concurrency: 2 }),
          Stream.runDrain,
          Effect.forkDaemon
        )
        yield* queue.offerAll(["a", "b"])
        yield* letOthersRun
        yield* Fiber.interrupt(fiber)
      }),
      leaves: ["a", "b"]
    },
    "but a worker that fails discards its intents though the Stream recovers": {
      program: Stream.make("a", "b").pipe(
        Stream.mapEffect((text) => text === "b" ? failAfter(text) : note(text), { concurrency: 2 }),
        Stream.catchAll(() => Stream.empty),
        Stream.runDrain
      ),
      leaves: ["a"]
    },
    "but a Stream that fails and is recovered discards the intents of its workers": {
      program: Stream.make("a", "b").pipe(
        Stream.mapEffect(failAfter, { concurrency: 2 }),
        Stream.runDrain,
        Effect.ignore
      ),
      leaves: []
    },
    "and a Stream that loses a race discards those of its stages": {
      program: lose(
        source.pipe(Stream.mapEffect((text) => note(`${text} after`), { concurrency: 2 }), Stream.runDrain)
      ),
      leaves: []
    }
  })
})

describe("I6: code that is not Effect belongs to the fiber that handed it its runtime", () => {
  check({
    "a loser takes the intents of its callbacks along": { program: lose(byCallback("a")), leaves: [] },
    "so does a fiber that fails after them": {
      program: Effect.flatMap(Effect.fork(Effect.zipRight(byCallback("a"), Effect.fail("no"))), Fiber.await),
      leaves: []
    },
    "so does a worker of a concurrent Effect.all that fails": {
      program: Effect.ignore(
        Effect.all([Effect.zipRight(byCallback("a"), Effect.fail("no")), Effect.void], { concurrency: 2 })
      ),
      leaves: []
    },
    "so does an Effect that times out": {
      program: Effect.zipRight(byCallback("a"), Effect.never).pipe(Effect.timeoutOption(0)),
      leaves: []
    },
    "those of the scope's own fiber leave": { program: byCallback("a"), leaves: ["a"] },
    "those of a fiber that is joined leave": {
      program: Effect.flatMap(Effect.fork(byCallback("a")), Fiber.join),
      leaves: ["a"]
    },
    "those of an Effect that ends before its timeout leave": {
      program: byCallback("a").pipe(Effect.timeout("1 hour")),
      leaves: ["a"]
    },
    "those of concurrent workers that succeed leave": {
      program: Effect.forEach(["a", "b"], byCallback, { concurrency: 2 }),
      leaves: ["a", "b"]
    },
    "those of the workers of a concurrent Stream leave": {
      program: Stream.make("a", "b").pipe(Stream.mapEffect(byCallback, { concurrency: 2 }), Stream.runDrain),
      leaves: ["a", "b"]
    },
    "those of a child that is awaited leave": {
      program: Effect.flatMap(Effect.fork(byCallback("a")), Fiber.await),
      leaves: ["a"]
    },
    "those of a daemon that is awaited leave": {
      program: Effect.flatMap(Effect.forkDaemon(byCallback("a")), Fiber.await),
      leaves: ["a"]
    }
  })

  it.live("a callback that comes when its fiber has ended, and was not joined, is set aside with a warning", () =>
    Effect.gen(function*() {
      const { lines, logger } = warnings()
      yield* Effect.gen(function*() {
        const go = withResolvers()
        const done = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkDaemon(Effect.map(Effect.runtime<AirlockScope>(), (runtime) => {
          void go.promise.then(() =>
            Runtime.runPromise(runtime)(Effect.zipRight(note("a"), Deferred.succeed(done, void 0)))
          )
        }))
        yield* Fiber.await(fiber)
        go.resolve(undefined)
        yield* Deferred.await(done)
        yield* letOthersRun
      }).pipe(Airlock.scoped, Effect.provide(logger))
      expect(yield* left).toEqual([])
      expect(lines).toEqual([expect.stringContaining("its fiber is unknown")])
    }).pipe(Effect.provide(layer())))
})

const withResolvers = () => {
  let resolve: (value: unknown) => void = () => {}
  const promise = new Promise((done) => {
    resolve = done
  })
  return { promise, resolve }
}

/** Collects warnings, each with the intents that it names. */
const warnings = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    if (logLevel._tag === "Warning") {
      lines.push(`${[message].flat().join(" ")}: ${JSON.stringify(Object.fromEntries(annotations))}`)
    }
  })
  return { lines, logger: Logger.replace(Logger.defaultLogger, logger) }
}

describe("I6: an item of batched requests is one piece of work, in however many fibers it runs", () => {
  const item = (fails: number) => (id: number) =>
    note(`before ${id}`).pipe(
      Effect.zipRight(get(id)),
      Effect.zipRight(id === fails ? Effect.fail("no") : Effect.void),
      Effect.zipRight(note(`after ${id}`))
    )
  const noting = resolving((ids) => note(`resolved ${ids}`))
  const both = ["before 1", "before 2", "after 1", "after 2"]
  const twoStages = (fails: number) => (id: number) =>
    Effect.zipRight(get(id), Effect.zipRight(note(`between ${id}`), item(fails)(id + 10)))
  check({
    "items that succeed keep their intents": { program: batched([1, 2], item(0)), leaves: both },
    "items that succeed one after the other keep their intents": {
      program: Effect.forEach([1, 2], item(0), { batching: true }),
      leaves: both
    },
    "items that share workers keep their intents": {
      program: Effect.forEach([1, 2, 3, 4], item(0), { batching: true, concurrency: 2 }),
      leaves: [1, 2, 3, 4].flatMap((id) => [`before ${id}`, `after ${id}`])
    },
    "withRequestBatching does the same": {
      program: Effect.forEach([1, 2], item(0), { concurrency: 2, batching: "inherit" }).pipe(
        Effect.withRequestBatching(true)
      ),
      leaves: both
    },
    "an item that fails after its request takes along what it enqueued before": {
      program: Effect.ignore(batched([1], item(1))),
      leaves: []
    },
    "so does one that shares its worker with others, and it takes theirs along too": {
      program: Effect.ignore(Effect.forEach([1, 2, 3], item(3), { batching: true, concurrency: 1 })),
      leaves: []
    },
    "so does one that fails after its second request": {
      program: Effect.ignore(batched([1], twoStages(11))),
      leaves: []
    },
    "items of two requests that succeed keep their intents": {
      program: batched([1, 2], twoStages(0)),
      leaves: [1, 2].flatMap((id) => [`between ${id}`, `before 1${id}`, `after 1${id}`])
    },
    "so does one that enqueued in a region, in a child fiber or in a scope": {
      program: Effect.ignore(batched([1], (id) =>
        Effect.all([
          Airlock.withPolicy(note("region"), noPolicy),
          Effect.flatMap(Effect.fork(note("child")), Fiber.await),
          Airlock.scoped(note("scope"))
        ]).pipe(
          Effect.zipRight(get(id)),
          Effect.zipRight(Effect.fail("no"))
        ))),
      leaves: []
    },
    "so does one that is inside a region or a scope when it waits": {
      program: Effect.ignore(batched([1], (id) =>
        Effect.zipRight(note("before"), get(id)).pipe(
          (self) => Airlock.withPolicy(self, noPolicy),
          Airlock.scoped,
          Effect.zipRight(note("after")),
          Effect.zipRight(Effect.fail("no"))
        ))),
      leaves: []
    },
    "a RequestResolver that enqueues belongs to the fiber that asked": {
      program: Effect.forEach([1, 2], (id) => getBy(id, noting), { batching: true, concurrency: 2 }),
      leaves: ["resolved 1,2"]
    },
    "a RequestResolver that goes on after it has answered keeps its intents": {
      program: getBy(
        1,
        RequestResolver.makeBatched((requests: ReadonlyArray<Get>) =>
          Effect.zipRight(
            note("resolved"),
            Effect.zipRight(Request.succeed(requests[0]!, 1), Effect.never)
          )
        )
      ),
      leaves: ["resolved"]
    },
    "a RequestResolver that fails discards its intents": {
      program: Effect.exit(
        getBy(1, RequestResolver.makeBatched(() => Effect.zipRight(note("resolved"), Effect.die("no"))))
      ),
      leaves: []
    },
    "and so does one that a loser asked": {
      program: lose(Effect.zipRight(getBy(1, noting), Effect.never)).pipe(Effect.timeoutOption(0)),
      leaves: []
    },
    "a RequestResolver that enqueues for an Effect that fails afterwards keeps its intents, as the batch had succeeded":
      {
        program: Effect.ignore(
          Effect.forEach([1, 2], (id) => Effect.zipRight(getBy(id, noting), Effect.fail("no")), {
            batching: true,
            concurrency: 2
          })
        ),
        leaves: ["resolved 1,2"]
      }
  })
})

describe("Airlock.open in Layers and runtimes", () => {
  const scope = Layer.scoped(AirlockScope, Airlock.open({ name: "of the Layer" }))
  const other = Layer.scopedDiscard(Effect.void)
  const programs: Record<
    string,
    readonly [Effect.Effect<unknown, unknown, AirlockScope | Airlock.Airlock>, Array<string>]
  > = {
    "keeps what succeeds": [note("a"), ["a"]],
    "discards the intents of a loser and of its finished children": [
      lose(Effect.zipRight(Effect.all([note("a"), note("b")], { concurrency: 2 }), Effect.never)).pipe(
        Effect.timeoutOption(0),
        Effect.zipRight(note("c"))
      ),
      ["c"]
    ],
    "discards the intents of a run that fails": [failAfter("a"), []]
  }
  for (const [name, [program, leaves]] of Object.entries(programs)) {
    it.effect(`a ManagedRuntime of merged Layers ${name}`, () =>
      Effect.gen(function*() {
        const context = yield* Effect.context<Airlock.Airlock>()
        const runtime = ManagedRuntime.make(
          Layer.mergeAll(other, scope).pipe(Layer.provideMerge(Layer.succeedContext(context)))
        )
        yield* Effect.promise(() => runtime.runPromiseExit(quiet(program)))
        yield* Effect.promise(() => runtime.dispose())
        expect((yield* left).sort()).toEqual(leaves)
      }).pipe(Effect.provide(layer())))

    it.effect(`a Layer that is provided ${name}`, () =>
      Effect.gen(function*() {
        const forked = Effect.flatMap(Effect.fork(program), Fiber.await)
        yield* forked.pipe(quiet, Effect.provide(Layer.mergeAll(other, scope)))
        expect((yield* left).sort()).toEqual(leaves)
      }).pipe(Effect.provide(layer())))
  }

  it.effect("a Layer that is merged has its scope open until it closes, and the fiber that built it leaves it then", () =>
    Effect.gen(function*() {
      yield* Effect.zipRight(
        Effect.provide(note("inside"), Layer.mergeAll(other, scope)),
        note("after")
      ).pipe(Airlock.scoped({ name: "around" }))
      expect(yield* left).toEqual(["inside", "after"])
    }).pipe(Effect.provide(layer())))
})

describe("a runtime that was captured in a scope and used after it has settled", () => {
  const late = Effect.fnUntraced(function*(runtime: Runtime.Runtime<AirlockScope>) {
    const before = yield* Metric.value(AirlockMetrics.lateIntents)
    const exit = yield* Effect.promise(() => Runtime.runPromiseExit(runtime)(quiet(note("late"))))
    expect(String(exit)).toContain("ScopeClosedError")
    expect((yield* Metric.value(AirlockMetrics.lateIntents)).count).toBe(before.count + 1)
  })

  it.effect("gets a ScopeClosedError after Airlock.scoped", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(Airlock.scoped(Effect.runtime<AirlockScope>()), late).pipe(Airlock.scoped)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("gets a ScopeClosedError after Airlock.open, and feeds no scope around", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        const closing = yield* Scope.make()
        yield* Scope.extend(Airlock.open(), closing)
        // Only the FiberRef of the runtime knows the scope.
        const runtime = yield* Effect.provide(Effect.runtime<AirlockScope>(), Airlock.unchecked)
        yield* Scope.close(closing, Exit.void)
        yield* Effect.flatMap(Effect.forkDaemon(late(runtime)), Fiber.join)
      }).pipe(Airlock.scoped)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))
})

describe("a scope in a fiber whose own scope has settled", () => {
  it.effect("is a root, with a debug line", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        lines.push(`${logLevel._tag}: ${[message].flat().join(" ")}`)
      })
      const queue = yield* Queue.unbounded<string>()
      // The first request starts the worker.
      yield* Queue.take(queue).pipe(
        Effect.flatMap((text) => Airlock.scoped(note(text))),
        Effect.forever,
        Effect.forkDaemon,
        Airlock.scoped({ name: "first request" }),
        Logger.withMinimumLogLevel(LogLevel.Debug),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      yield* queue.offerAll(["a", "b"])
      yield* letOthersRun
      expect(yield* left).toEqual(["a", "b"])
      expect(lines).toEqual(
        Array(2).fill(`Debug: Airlock opened a root scope: the scope of its fiber, "first request", has settled`)
      )
    }).pipe(Effect.provide(layer())))
})

describe("a scope in a fiber whose own scope has settled, inside one that has not", () => {
  /** A daemon opens a scope after the scope in which it was forked. */
  const lazily = Effect.gen(function*() {
    const go = yield* Deferred.make<void>()
    const worker = Effect.zipRight(Deferred.await(go), Airlock.scoped(note("lazy")))
    const fiber = yield* Airlock.scoped(Effect.forkDaemon(worker))
    yield* Deferred.succeed(go, void 0)
    yield* Fiber.join(fiber)
  })

  it.effect("hands its intents over to that one", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(Effect.zipLeft(lazily, Effect.map(left, (texts) => expect(texts).toEqual([]))))
      expect(yield* left).toEqual(["lazy"])
      yield* Effect.ignore(Airlock.scoped(Effect.zipRight(lazily, Effect.fail("no"))))
      yield* Airlock.scoped({ policy: Policy.dropAll })(lazily)
      expect(yield* left).toEqual(["lazy"])
    }).pipe(quiet, Effect.provide(layer())))

  it.effect("is in the plan, and dispatches nothing after the plan has ended", () =>
    Effect.gen(function*() {
      const go = yield* Deferred.make<void>()
      const plan = yield* Airlock.plan(Effect.zipRight(
        lazily,
        Effect.forkDaemon(Effect.zipRight(Deferred.await(go), Airlock.scoped(note("late"))))
      ))
      yield* Deferred.succeed(go, void 0)
      yield* letOthersRun
      expect(plan.entries.map(({ task }) => task)).toEqual(["Note"])
      expect(yield* left).toEqual([])
    }).pipe(quiet, Effect.provide(layer())))
})

describe("intents that are discarded though their scope succeeds", () => {
  it.effect("are named in one warning, with the fate of their fibers and the remedy", () =>
    Effect.gen(function*() {
      const { lines, logger } = warnings()
      yield* Effect.gen(function*() {
        yield* lose(note("loser"))
        yield* Effect.flatMap(Effect.fork(failAfter("failed")), Fiber.await)
        yield* Effect.forkDaemon(Effect.zipRight(note("running"), Effect.never))
        yield* letOthersRun
        yield* note("leaves")
      }).pipe(Airlock.scoped({ name: "order" }), Effect.provide(logger))
      expect(yield* left).toEqual(["leaves"])
      expect(lines.length).toBe(1)
      for (
        const part of [
          "its fiber was interrupted",
          "its fiber failed",
          "its fiber still runs",
          "independent: true",
          "order"
        ]
      ) {
        expect(lines[0]).toContain(part)
      }
    }).pipe(Effect.provide(layer())))

  it.effect("are named at debug level if their scope fails, or if a scope around their work discarded them", () =>
    Effect.gen(function*() {
      const { lines, logger } = warnings()
      yield* Effect.zipRight(lose(note("loser")), Effect.fail("no")).pipe(
        Airlock.scoped,
        Effect.ignore,
        Effect.provide(logger)
      )
      yield* lose(Effect.ignore(Airlock.scoped(failAfter("a")))).pipe(Airlock.scoped, Effect.provide(logger))
      yield* Effect.repeat(Airlock.scoped(note("a")), Schedule.recurs(1)).pipe(Airlock.scoped, Effect.provide(logger))
      expect(lines).toEqual([])
    }).pipe(Effect.provide(layer())))
})
