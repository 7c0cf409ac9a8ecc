/**
 * What App Engine's NDB does for the datastore, here for side effects: a request batches its writes, drains them at its
 * end, checks every write and hides no error.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Schema, TestClock } from "effect"
import { Airlock, type AirlockError, Executor, Task } from "effect-airlock"

const Put = Task.make("Put", { payload: { key: Schema.String, value: Schema.Number } })
const Quick = Task.make("Quick", { payload: {} })
const put = (key: string, value = 0) => Airlock.enqueue(Put, { key, value })

interface Datastore {
  readonly calls: Array<ReadonlyArray<{ readonly key: string, readonly value: number }>>
  readonly onPut: (keys: ReadonlyArray<string>) => Effect.Effect<void, Error>
}

/** A datastore that accepts 25 entities in one call. */
const datastore = (onPut: Datastore["onPut"] = () => Effect.void): Datastore => ({ calls: [], onPut })

const layer = ({ calls, onPut }: Datastore) =>
  Put.toLayerBatched(
    (puts) => Effect.zipLeft(onPut(puts.map(({ key }) => key)), Effect.sync(() => calls.push(puts))),
    { maxSize: 25, key: ({ key }) => key }
  ).pipe(Layer.provideMerge(Airlock.layer({ executor: Executor.drain({ timeout: "10 seconds" }) })))

/** A request's scope flushes after a response and after an exception, as NDB does. */
const request = Airlock.scoped({ shouldFlush: () => true, name: "request" })

const keys = (count: number, prefix = "k") => Array.from({ length: count }, (_, index) => `${prefix}${index}`)

const failuresOf = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<AirlockError.FlushFailure> =>
  Exit.isFailure(exit)
    ? [...Cause.failures(exit.cause)].flatMap((error) =>
      (error as AirlockError.FlushError)._tag === "FlushError" ? (error as AirlockError.FlushError).failures : []
    )
    : []

describe("a request that drains its writes as NDB does", () => {
  it.effect("runs 49 writes at a limit of 25 in two calls, before the response", () =>
    Effect.gen(function*() {
      const store = datastore()
      yield* Effect.forEach(keys(49), (key) => put(key)).pipe(request, Effect.provide(layer(store)))
      expect(store.calls.map((puts) => puts.length)).toEqual([25, 24])
      expect(store.calls.flat().map(({ key }) => key)).toEqual(keys(49))
    }))

  it.effect("merges the writes of one key: the last write wins, and keeps its own place in the order", () =>
    Effect.gen(function*() {
      const store = datastore()
      yield* Effect.all([put("a", 1), put("b", 2), put("a", 3)]).pipe(request, Effect.provide(layer(store)))
      expect(store.calls).toEqual([[{ key: "b", value: 2 }, { key: "a", value: 3 }]])
    }))

  it.effect("drains the writes that handlers enqueue meanwhile, in batches too", () =>
    Effect.gen(function*() {
      const store = datastore()
      const Parent = Task.make("Parent", { payload: { children: Schema.Number } })
      const Parents = Parent.toLayer(({ children }) => Effect.forEach(keys(children, "child"), (key) => put(key)))
      yield* Effect.all([
        Airlock.enqueue(Parent, { children: 3 }),
        Airlock.enqueue(Parent, { children: 5 }),
        put("own")
      ]).pipe(request, Effect.provide(Parents.pipe(Layer.provideMerge(layer(store)))))
      expect(store.calls.map((puts) => puts.map(({ key }) => key))).toEqual([["own"], keys(5, "child")])
    }))

  it.effect("fails if a batch that was dispatched early failed, although nobody awaited it", () =>
    Effect.gen(function*() {
      const failed = yield* Deferred.make<void>()
      const store = datastore((keys) =>
        keys.includes("early")
          ? Effect.zipRight(Deferred.succeed(failed, undefined), Effect.fail(new Error("contention")))
          : Effect.void
      )
      const exit = yield* Effect.gen(function*() {
        // The inner scope's intents are dispatched at once. Its caller does not learn that they fail.
        yield* Airlock.scoped(put("early"))
        yield* Deferred.await(failed)
        yield* put("late")
        return "response"
      }).pipe(
        Airlock.scoped({ name: "request", beforeDescendantFlushes: (intents) => intents }),
        Effect.exit,
        Effect.provide(layer(store))
      )
      expect(failuresOf(exit).map(({ reason, task }) => [task, reason.message])).toEqual([
        ["Put", "Dispatching \"Put\" failed: contention"]
      ])
      expect(store.calls.map((puts) => puts.map(({ key }) => key))).toEqual([["late"]])
    }))

  it.effect("keeps the handler's own error beside the failed writes, and does the other writes", () =>
    Effect.gen(function*() {
      const store = datastore((keys) => keys.includes("bad") ? Effect.fail(new Error("bad")) : Effect.void)
      const exit = yield* Effect.zipRight(put("bad"), Effect.fail("its own")).pipe(
        request,
        Effect.exit,
        Effect.provide(layer(store))
      )
      expect(Exit.isFailure(exit) && [...Cause.failures(exit.cause)][0]).toBe("its own")
      expect(failuresOf(exit).length).toBe(1)
      const wrote = yield* Effect.zipRight(put("good"), Effect.fail("its own")).pipe(
        request,
        Effect.exit,
        Effect.provide(layer(store))
      )
      expect(wrote).toEqual(Exit.fail("its own"))
      expect(store.calls.flat().map(({ key }) => key)).toEqual(["good"])
    }))

  it.effect("ends a write that hangs with an error that names the remaining intents, and the next request is not affected", () =>
    Effect.gen(function*() {
      const never = yield* Deferred.make<void>()
      const store = datastore((keys) =>
        keys.includes("hang") ? Effect.uninterruptible(Deferred.await(never)) : Effect.void
      )
      yield* Effect.gen(function*() {
        const program = Effect.all([Airlock.enqueue(Quick, {}), put("hang"), put("waits")])
        const hung = yield* Effect.fork(Effect.exit(request(program)))
        yield* TestClock.adjust("10 seconds")
        yield* TestClock.adjust("1 second")
        // The intent of Quick has run by then, so it is not among them.
        const failures = failuresOf(yield* Fiber.join(hung))
        expect(failures.map(({ reason, task }) => [task, reason._tag])).toEqual([
          ["Put", "SettleTimeoutError"],
          ["Put", "SettleTimeoutError"]
        ])
        expect(failures[0]!.reason.message).toMatch(/^The executor "drain" did not complete within 1\d{4} ms\./)
        yield* request(put("next"))
        yield* Deferred.succeed(never, undefined)
      }).pipe(Effect.provide(Quick.toLayer(() => Effect.void).pipe(Layer.provideMerge(layer(store)))))
      expect(store.calls[0]).toEqual([{ key: "next", value: 0 }])
    }))

  it.effect("never shares a batch with one of 100 concurrent requests", () =>
    Effect.gen(function*() {
      const store = datastore(() => Effect.yieldNow())
      yield* Effect.forEach(
        keys(100, "request"),
        (name) => request(Effect.forEach(keys(30, `${name}-`), (key) => Effect.zipRight(Effect.yieldNow(), put(key)))),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(layer(store)))
      expect(store.calls.length).toBe(200)
      for (const puts of store.calls) {
        expect(new Set(puts.map(({ key }) => key.split("-")[0])).size).toBe(1)
      }
    }))
})
