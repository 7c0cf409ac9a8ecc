/**
 * How handlers are run: side by side, in order by key, in batches, tried again, bounded in time.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schedule, Schema, TestClock } from "effect"
import { Airlock, AirlockError, Executor, type Intent, Task } from "effect-airlock"

const Step = Task.make("Step", { payload: { text: Schema.String } })
const Index = Task.make("Index", { payload: { text: Schema.String } })
const step = (text: string, options?: Intent.EnqueueOptions) => Airlock.enqueue(Step, { text }, options)
const index = (text: string, options?: Intent.EnqueueOptions) => Airlock.enqueue(Index, { text }, options)

const settled = Effect.repeatN(Effect.yieldNow(), 200)

const provide = (handlers: Layer.Layer<never, never, Airlock.Airlock>, run: Executor.RunOptions = {}) =>
  Effect.provide(handlers.pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.inProcess(run) }))))

describe("side by side", () => {
  it.effect("as many handlers run at a time as concurrency says", () =>
    Effect.gen(function*() {
      const arrived: Array<string> = []
      const all = yield* Deferred.make<void>()
      // Each waits for all others: with one fewer at a time, none would end.
      yield* Effect.forEach(Array.from({ length: 8 }, (_, n) => `${n}`), (text) => step(text)).pipe(
        Airlock.scoped,
        provide(
          Step.toLayer(({ text }) =>
            Effect.suspend(() =>
              arrived.push(text) === 8 ? Effect.asVoid(Deferred.succeed(all, undefined)) : Deferred.await(all)
            )
          ),
          { concurrency: 8 }
        )
      )
      expect(arrived).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"])
    }))

  it.effect("intents of one orderingKey run in order, a slow head holding back its key and no other", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const gate = yield* Effect.makeLatch(false)
      const running = yield* Effect.forEach(
        ["a1", "b1", "a2", "b2", "c1", "a3"],
        (text) => step(text, { orderingKey: text[0]! })
      ).pipe(
        Airlock.scoped,
        provide(
          Step.toLayer(({ text }) =>
            Effect.zipRight(text === "a1" ? gate.await : Effect.void, Effect.sync(() => ran.push(text)))
          ),
          { concurrency: "unbounded" }
        ),
        Effect.fork
      )
      yield* settled
      expect(ran).toEqual(["b1", "b2", "c1"])
      yield* gate.open
      yield* Fiber.join(running)
      expect(ran).toEqual(["b1", "b2", "c1", "a1", "a2", "a3"])
    }))

  it.effect("a batch brings the order of all of its keys together", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const gate = yield* Effect.makeLatch(false)
      const running = yield* Effect.all([
        step("a1", { orderingKey: "a" }),
        step("b1", { orderingKey: "b" }),
        index("a2", { orderingKey: "a" }),
        index("b2", { orderingKey: "b" }),
        step("b3", { orderingKey: "b" }),
        step("c1", { orderingKey: "c" })
      ]).pipe(
        Airlock.scoped,
        provide(
          Layer.mergeAll(
            Step.toLayer(({ text }) =>
              Effect.zipRight(text === "a1" ? gate.await : Effect.void, Effect.sync(() => ran.push(text)))
            ),
            Index.toLayerBatched((payloads) => Effect.sync(() => ran.push(payloads.map(({ text }) => text).join("+"))))
          ),
          { concurrency: "unbounded" }
        ),
        Effect.fork
      )
      yield* settled
      expect(ran).toEqual(["c1"])
      yield* gate.open
      yield* Fiber.join(running)
      expect(ran).toEqual(["c1", "a1", "b1", "a2+b2", "b3"])
    }))
})

describe("in batches", () => {
  const batched = (options?: Task.BatchOptions<{ readonly text: string }>) =>
    Effect.gen(function*() {
      const ran: Array<ReadonlyArray<string>> = []
      const handlers = Layer.mergeAll(
        Step.toLayer(({ text }) => Effect.sync(() => ran.push([`step ${text}`]))),
        Index.toLayerBatched(
          (payloads) => Effect.sync(() => ran.push(payloads.map(({ text }) => text))),
          options
        )
      )
      return { ran, handlers }
    })

  it.effect("a handler gets all payloads of a flush, in order, after the others", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched()
      yield* Effect.all([index("1"), step("a"), index("2"), step("b"), index("3")]).pipe(
        Airlock.scoped,
        provide(handlers)
      )
      expect(ran).toEqual([["step a"], ["step b"], ["1", "2", "3"]])
    }))

  it.effect("in as few calls as maxSize allows, also where keys were merged", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched({ maxSize: 2, key: ({ text }) => text[0] })
      yield* Effect.forEach(["a1", "b1", "a2", "c1", "c2", "d1"], (text) => index(text)).pipe(
        Airlock.scoped,
        provide(handlers)
      )
      expect(ran).toEqual([["b1", "a2"], ["c2", "d1"]])
    }))

  it.effect("merges by a function, in the order of the enqueues", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched({
        key: ({ text }) => text[0],
        merge: (earlier, later) => ({ text: `${earlier.text},${later.text}` })
      })
      yield* Effect.forEach(["a1", "b1", "a2", "a3"], (text) => index(text)).pipe(Airlock.scoped, provide(handlers))
      expect(ran).toEqual([["b1", "a1,a2,a3"]])
    }))

  it.effect("leaves sooner where another task's intent of the same orderingKey must not overtake", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched()
      yield* Effect.all([
        index("1", { orderingKey: "k" }),
        index("2"),
        step("a", { orderingKey: "k" }),
        index("3", { orderingKey: "k" })
      ]).pipe(Airlock.scoped, provide(handlers))
      expect(ran).toEqual([["1", "2"], ["step a"], ["3"]])
    }))

  it.effect("each payload has its context; one that stands for several has that of the last", () =>
    Effect.gen(function*() {
      let contexts: ReadonlyArray<Task.HandlerContext> = []
      const ids = yield* Effect.forEach(["a1", "b1", "a2"], (text) => index(text)).pipe(
        Airlock.scoped,
        provide(Index.toLayerBatched((_, each) =>
          Effect.sync(() => {
            contexts = each
          }), { key: ({ text }) => text[0] }))
      )
      expect(contexts.map(({ attempt, intentId }) => [attempt, intentId])).toEqual([[1, ids[1]], [1, ids[2]]])
    }))

  it.effect("a call that fails has failed for each of its intents, the merged ones too, and for no other", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const ids: Array<string> = []
      const error = yield* Effect.forEach(["a1", "a2", "b1", "c1"], (text) => index(text)).pipe(
        Effect.tap((all) => ids.push(...all)),
        Airlock.scoped,
        Effect.flip,
        provide(Index.toLayerBatched((payloads) =>
          payloads[0].text === "a2"
            ? Effect.fail(new Error("no"))
            : Effect.sync(() => ran.push(...payloads.map(({ text }) => text))), {
          maxSize: 2,
          key: ({ text }) => text[0]
        }))
      )
      expect(error.failures.map(({ intentId }) => intentId)).toEqual(ids.slice(0, 3))
      expect(ran).toEqual(["c1"])
    }))

  it.effect("a key or merge that throws fails its own intent, and no other", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const error = yield* Effect.forEach(["a1", "bad", "a2"], (text) => index(text)).pipe(
        Airlock.scoped,
        Effect.flip,
        provide(Index.toLayerBatched((payloads) => Effect.sync(() => ran.push(...payloads.map(({ text }) => text))), {
          key: ({ text }) => {
            if (text === "bad") {
              throw new Error("no key")
            }
            return text
          }
        }))
      )
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Index\" failed: no key"])
      expect(ran).toEqual(["a1", "a2"])
    }))

  it.effect("what a batched handler enqueues leaves if it succeeds", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      yield* Effect.forEach(["1", "2"], (text) => index(text)).pipe(
        Airlock.scoped,
        provide(Layer.mergeAll(
          Index.toLayerBatched((payloads) => Effect.forEach(payloads, ({ text }) => step(text))),
          Step.toLayer(({ text }) => Effect.sync(() => ran.push(text)))
        ))
      )
      expect(ran).toEqual(["1", "2"])
    }))

  it("refuses a maxSize of which nothing would come", () => {
    expect(() => Index.toLayerBatched(() => Effect.void, { maxSize: 0 })).toThrow(
      "toLayerBatched of \"Index\" needs a maxSize of at least 1, and got 0"
    )
  })
})

describe("tried again", () => {
  const flaky = (failures: number) => {
    const attempts: Array<number> = []
    const handlers = Step.toLayer((_, { attempt }) =>
      Effect.suspend(() => attempts.push(attempt) <= failures ? Effect.fail(new Error(`no ${attempt}`)) : Effect.void)
    )
    return { attempts, handlers }
  }

  it.effect("a run that failed is tried again when the schedule says, and is told which attempt it is", () =>
    Effect.gen(function*() {
      const { attempts, handlers } = flaky(2)
      const running = yield* step("a").pipe(
        Airlock.scoped,
        provide(handlers, { retry: Schedule.exponential("1 second") }),
        Effect.fork
      )
      yield* settled
      expect(attempts).toEqual([1])
      yield* TestClock.adjust("1 second")
      expect(attempts).toEqual([1, 2])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(running)
      expect(attempts).toEqual([1, 2, 3])
    }))

  it.effect("the schedule gets the reason, and the last failure is what the FlushError says", () =>
    Effect.gen(function*() {
      const { attempts, handlers } = flaky(10)
      const error = yield* step("a").pipe(
        Airlock.scoped,
        Effect.flip,
        provide(handlers, {
          retry: Schedule.recurWhile((reason: Executor.DispatchReason) => !reason.message.endsWith("no 3"))
        })
      )
      expect(attempts).toEqual([1, 2, 3])
      expect(error.failures[0]!.reason.message).toBe("Dispatching \"Step\" failed: no 3")
    }))

  it.effect("an intent's maxAttempts ends it sooner", () =>
    Effect.gen(function*() {
      const { attempts, handlers } = flaky(10)
      yield* step("a", { maxAttempts: 2 }).pipe(
        Airlock.scoped,
        Effect.flip,
        provide(handlers, { retry: Schedule.recurs(5) })
      )
      expect(attempts).toEqual([1, 2])
    }))

  it.effect("who is cut off while it waits for its next attempt failed in its last", () =>
    Effect.gen(function*() {
      const { handlers } = flaky(10)
      const running = yield* step("a").pipe(
        Airlock.scoped({ dispatchTimeout: "1 second" }),
        Effect.flip,
        provide(handlers, { retry: Schedule.spaced("1 hour") }),
        Effect.fork
      )
      yield* settled
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      expect(error.failures[0]!.reason.message).toBe("Dispatching \"Step\" failed: no 1")
    }))
})

describe("Executor.route", () => {
  const recording = (name: string, seen: Array<string>, durable = false) =>
    Executor.make({
      name,
      durable,
      dispatch: (intents) =>
        Effect.sync(() => {
          seen.push(`${name}: ${intents.map(({ payload }) => (payload as { text: string }).text).join(" ")}`)
          return intents.map(() => Exit.void)
        })
    })

  const failures = (error: AirlockError.FlushError) =>
    error.failures.map(({ reason, task }) => `${task} ${reason.message}`)

  it.effect("gives each executor its intents as one batch, in order, and puts the outcomes back in place", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const steps = recording("steps", seen)
      const broken = Executor.make({ name: "broken", dispatch: () => Effect.die(new Error("it broke")) })
      const error = yield* Effect.all([step("1"), index("2"), step("3"), index("4")]).pipe(
        Airlock.scoped,
        Effect.flip,
        Effect.provide(
          Airlock.layer({ executor: Executor.route(({ task }) => task.name === "Step" ? steps : broken) })
        )
      )
      expect(seen).toEqual(["steps: 1 3"])
      expect(failures(error)).toEqual([
        "Index Dispatching \"Index\" failed: it broke",
        "Index Dispatching \"Index\" failed: it broke"
      ])
    }))

  it.effect("a choice that throws is a defect of the enqueue, and leaves the others as they are", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const steps = recording("steps", seen)
      const executor = Executor.route(({ task }) => {
        if (task.name === "Index") {
          throw new Error("whither?")
        }
        return steps
      })
      const refused = yield* Effect.all([step("1"), Effect.exit(index("2")), step("3")]).pipe(
        Airlock.scoped,
        Effect.provide(Airlock.layer({ executor }))
      )
      expect(Exit.isFailure(refused[1]) && refused[1].cause).toMatchObject({
        _tag: "Die",
        defect: { message: "whither?" }
      })
      expect(seen).toEqual(["steps: 1 3"])
    }))

  it.effect("refuses a closure at the enqueue where it would go to a durable executor", () =>
    Effect.gen(function*() {
      const durable = recording("queue", [], true)
      const atOnce = Executor.inProcess()
      const executor = Executor.route(({ task }) => task.name === "kept" ? durable : atOnce)
      const refused = yield* Airlock.enqueueEffect("kept", Effect.void).pipe(
        Airlock.scoped({ executor }),
        Effect.exit,
        Effect.provide(Airlock.AirlockLive)
      )
      expect(Exit.isFailure(refused) && refused.cause._tag === "Die" && refused.cause.defect).toMatchObject({
        _tag: "NotSerializableError",
        executor: "route"
      })
      let ran = false
      yield* Airlock.enqueueEffect(
        "here",
        Effect.sync(() => {
          ran = true
        })
      ).pipe(Airlock.scoped({ executor }), Effect.provide(Airlock.AirlockLive))
      expect(ran).toBe(true)
    }))

  it.effect("each scope has its own account with an executor that keeps one", () =>
    Effect.gen(function*() {
      const drain = Executor.drain()
      const error = yield* Airlock.scoped(step("early")).pipe(
        Airlock.scoped({ beforeDescendantFlushes: (intents) => intents }),
        Effect.flip,
        Effect.provide(
          Step.toLayer(() => Effect.fail(new Error("no"))).pipe(
            Layer.provideMerge(Airlock.layer({ executor: Executor.route(() => drain) }))
          )
        )
      )
      expect(failures(error)).toEqual(["Step Dispatching \"Step\" failed: no"])
    }))
})

describe("combinators", () => {
  it.effect("retrying dispatches again what was not dispatched, in order, and nothing else", () =>
    Effect.gen(function*() {
      const batches: Array<ReadonlyArray<string>> = []
      const engine = Executor.make({
        name: "engine",
        dispatch: (intents) =>
          Effect.sync(() => {
            const texts = intents.map(({ payload }) => (payload as { text: string }).text)
            batches.push(texts)
            return texts.map((text) =>
              text === "good" || batches.length === 3
                ? Exit.void
                : Exit.fail(new AirlockError.DispatchError({ task: "Step", cause: new Error("away") }))
            )
          })
      })
      const running = yield* Effect.all([step("1"), step("good"), step("2")]).pipe(
        Airlock.scoped({ executor: Executor.retrying(engine, Schedule.spaced("1 second")) }),
        Effect.provide(Airlock.AirlockLive),
        Effect.fork
      )
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(running)
      expect(batches).toEqual([["1", "good", "2"], ["1", "2"], ["1", "2"]])
    }))

  it.effect("retrying, cut off while it waits, answers with what it knows", () =>
    Effect.gen(function*() {
      const failsTwo = Executor.make({
        name: "engine",
        dispatch: (intents) =>
          Effect.succeed(intents.map(({ payload }) =>
            (payload as { text: string }).text === "good"
              ? Exit.void
              : Exit.fail(new AirlockError.DispatchError({ task: "Step", cause: new Error("away") }))
          ))
      })
      const running = yield* Effect.all([step("good"), step("bad")]).pipe(
        Airlock.scoped({
          executor: Executor.retrying(failsTwo, Schedule.spaced("1 hour")),
          dispatchTimeout: "1 second"
        }),
        Effect.flip,
        Effect.provide(Airlock.AirlockLive),
        Effect.fork
      )
      yield* settled
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Step\" failed: away"])
    }))

  it.effect("timed gives up sooner than the scope would", () =>
    Effect.gen(function*() {
      const running = yield* step("a").pipe(
        Airlock.scoped({
          executor: Executor.timed(Executor.make({ name: "slow", dispatch: () => Effect.never }), "3 seconds")
        }),
        Effect.flip,
        Effect.provide(Airlock.AirlockLive),
        Effect.fork
      )
      yield* settled
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(running)
      expect(error.failures[0]!.reason.message).toBe("The executor \"slow\" did not answer within 3000 ms.")
    }))

  it.effect("tapped tells of each intent what became of it; that it fails itself changes nothing", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const executor = Executor.tapped(Executor.inProcess(), ({ payload }, outcome) =>
        Effect.suspend(() => {
          told.push(`${(payload as { text: string }).text} ${outcome._tag}`)
          return told.length === 2 ? Effect.die("told enough") : Effect.void
        }))
      const error = yield* Effect.all([step("good"), step("bad"), step("good")]).pipe(
        Airlock.scoped({ executor }),
        Effect.flip,
        provide(Step.toLayer(({ text }) => text === "bad" ? Effect.fail("no") : Effect.void))
      )
      expect(told).toEqual(["good Success", "bad Failure", "good Success"])
      expect(error.failures.length).toBe(1)
    }))
})

describe("Handlers.run, for an executor of one's own", () => {
  it.effect("takes intents that come from elsewhere than a scope, and tells the handler the attempt", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const worker = Step.toLayer(({ text }, { attempt, intentId }) =>
        Effect.sync(() => seen.push([text, attempt, intentId]))
      )
      yield* Effect.gen(function*() {
        const { handlers } = yield* Airlock.Airlock
        const job: Intent.Intent = {
          id: "0190163d-8694-739b-aea5-966c26f8ad91" as Intent.IntentId,
          task: Step,
          payload: { text: "from a queue" },
          options: {},
          enqueuedAt: 0,
          scopeId: 0,
          span: undefined
        }
        expect(yield* handlers.run([job], { attempt: 3 })).toEqual([Exit.void])
      }).pipe(Effect.provide(worker.pipe(Layer.provideMerge(Airlock.AirlockLive))))
      expect(seen).toEqual([["from a queue", 3, "0190163d-8694-739b-aea5-966c26f8ad91"]])
    }))
})
