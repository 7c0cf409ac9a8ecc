/**
 * PersistedQueue: what is in its store, what the worker does with elements that it cannot run, lost connections, and the outbox in
 * front.
 */
import { PersistedQueue } from "@effect/experimental"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { application, Mail, mail } from "../support/outbox.js"
import { onEachStore } from "../support/persistedQueues.js"
import { until } from "../support/until.js"
import { recordWarnings, warnings } from "../support/warnings.js"

const Other = Task.make("Other", { payload: { n: Schema.Number } })

type Factory = Layer.Layer<PersistedQueue.PersistedQueueFactory>

const onQueue = (factory: Factory, options: PersistedQueueExecutor.ExecutorOptions = {}) =>
  AirlockLive.pipe(Layer.provide(PersistedQueueExecutor.layer(options)), Layer.provide(factory))

const send = (factory: Factory, ...mails: ReadonlyArray<ReturnType<typeof mail>>) =>
  Effect.all(mails).pipe(Airlock.scoped, Effect.provide(onQueue(factory)))

const offer = (factory: Factory, element: unknown) =>
  Effect.provide(
    Effect.flatMap(PersistedQueue.make({ name: "airlock", schema: Schema.Unknown }), (queue) => queue.offer(element)),
    factory
  )

/** Takes the next element of a queue out of it, with the number of its failed attempts. */
const taken = (factory: Factory, name = "airlock") =>
  Effect.provide(
    Effect.flatMap(PersistedQueue.make({ name, schema: Schema.Unknown }), (queue) =>
      queue.take((element, metadata) => Effect.succeed({ element, ...metadata }))),
    factory
  )

/** Takes the next dead letter. */
const dead = (factory: Factory) =>
  Effect.provide(
    Effect.flatMap(
      PersistedQueue.make({ name: "airlock.dead", schema: PersistedQueueExecutor.DeadLetter }),
      (queue) => queue.take(Effect.succeed)
    ),
    factory
  )

const start = (
  factory: Factory,
  handlers: Layer.Layer<never, never, Airlock.Airlock>,
  options: PersistedQueueExecutor.WorkerOptions = {}
) =>
  Layer.build(
    PersistedQueueExecutor.worker({ retryDelay: 0, ...options }).pipe(
      Layer.provide(handlers),
      Layer.provide(AirlockLive),
      Layer.provide(Layer.fresh(factory))
    )
  )

const failing = Mail.toLayer(({ to }) => Effect.fail(new Error(`no mail for ${to}`)))

onEachStore(({ cut, make, name, restore, swallow }) => {
  describe("an executor", () => {
    it.scopedLive("offers elements with the ids and the options of their intents", () =>
      Effect.gen(function*() {
        const { factory } = make()
        const [first, second] = yield* Effect.all([
          Airlock.enqueue(Mail, { to: "a" }),
          Airlock.enqueue(Other, { n: 1 }, { queue: "urgent", maxAttempts: 3 })
        ]).pipe(Airlock.scoped, Effect.provide(onQueue(factory)))
        expect(yield* taken(factory)).toMatchObject({
          id: first,
          attempts: 0,
          element: { id: first, name: "Mail", maxAttempts: 10, data: { payload: { to: "a" }, version: 1 } }
        })
        expect(yield* taken(factory, "urgent")).toMatchObject({
          id: second,
          element: { name: "Other", maxAttempts: 3 }
        })
      }))

    it.scopedLive("fails what the store does not answer in time", () =>
      Effect.gen(function*() {
        const { throughProxy } = make()
        const airlock = Layer.succeedContext(yield* Layer.build(onQueue(throughProxy, { timeout: "300 millis" })))
        const sending = mail("a").pipe(Airlock.scoped, Effect.provide(airlock))
        yield* sending
        swallow()
        const error = yield* Effect.flip(sending)
        expect(String(error.failures[0]?.reason)).toContain("did not answer within 300ms")
        // What was swallowed is not answered any more.
        cut()
        restore()
        yield* until(Effect.map(Effect.either(sending), ({ _tag }) => _tag === "Right"))
      }))
  })

  describe("a worker", () => {
    it.scopedLive("puts an element after its last attempt into the queue of dead letters, with the reason", () =>
      Effect.gen(function*() {
        const { factory } = make()
        yield* send(factory, mail("a", { maxAttempts: 3 }))
        yield* start(factory, failing)
        const { attempts, element, error } = yield* dead(factory)
        expect(element).toMatchObject({ name: "Mail", data: { payload: { to: "a" } } })
        expect(attempts).toBe(3)
        expect(error).toContain("no mail for a")
      }))

    it.scopedLive("stores errors that its store could not store as they are", () =>
      Effect.gen(function*() {
        const { factory } = make()
        yield* send(factory, mail("a", { maxAttempts: 2 }))
        yield* start(factory, Mail.toLayer(() => Effect.fail(new Error("NUL \0"))))
        const { attempts, error } = yield* dead(factory)
        expect(attempts).toBe(2)
        expect(error).toContain("NUL")
      }))

    it.scopedLive("runs a dead letter that was offered again from its first attempt", () =>
      Effect.gen(function*() {
        const { factory } = make()
        yield* send(factory, mail("a", { maxAttempts: 1 }))
        const { element } = yield* Effect.scoped(Effect.zipRight(start(factory, failing), dead(factory)))
        yield* offer(factory, element)
        const ran = yield* Deferred.make<unknown>()
        yield* start(factory, Mail.toLayer((_, { attempt, intentId }) => Deferred.succeed(ran, { attempt, intentId })))
        expect(yield* Deferred.await(ran)).toEqual({
          attempt: 1,
          intentId: (element as { readonly id: string }).id
        })
      }))

    it.scopedLive("fails an element whose task has no handler", () =>
      Effect.gen(function*() {
        const { factory } = make()
        yield* send(factory, mail("a", { maxAttempts: 2 }))
        yield* start(factory, Other.toLayer(() => Effect.void))
        const { attempts, error } = yield* dead(factory)
        expect(attempts).toBe(2)
        expect(error).toContain("handler")
      }))

    it.scopedLive("makes an element a dead letter at once whose payload does not fit its task", () =>
      Effect.gen(function*() {
        const { factory } = make()
        yield* send(factory, mail("a"))
        const Changed = Task.make("Mail", { payload: { text: Schema.String } })
        yield* start(factory, Changed.toLayer(() => Effect.void))
        const { attempts, error } = yield* dead(factory)
        expect(attempts).toBe(1)
        expect(error).toContain("does not fit the task")
      }))

    for (const foreign of [{ name: "Mail" }, "Mail", null]) {
      it.scopedLive(`makes an element a dead letter at once that no executor has offered: ${JSON.stringify(foreign)}`, () =>
        Effect.gen(function*() {
          const { factory } = make()
          yield* offer(factory, foreign)
          yield* start(factory, Mail.toLayer(() => Effect.void))
          const { attempts, element, error } = yield* dead(factory)
          expect(element).toEqual(foreign)
          expect(attempts).toBe(0)
          expect(error).toContain("No executor has offered")
        }))
    }

    it.scopedLive("interrupts a handler that does not end in time, and leaves its element to others without an attempt", () =>
      Effect.gen(function*() {
        const { factory } = make()
        const begun = yield* Deferred.make<void>()
        yield* send(factory, mail("a"))
        yield* Effect.scoped(Effect.zipRight(
          start(factory, Mail.toLayer(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)), {
            drainTimeout: 0
          }),
          Deferred.await(begun)
        ))
        expect((yield* taken(factory)).attempts).toBe(0)
      }))

    it.scopedLive("waits before it gives a failed element back, unless it stops", () =>
      Effect.gen(function*() {
        const { factory } = make()
        const ran: Array<string> = []
        yield* send(factory, mail("fails"))
        yield* Effect.scoped(Effect.gen(function*() {
          yield* start(
            factory,
            Mail.toLayer(({ to }) =>
              Effect.suspend(() => {
                ran.push(to)
                return to === "fails" ? Effect.fail(new Error("no")) : Effect.void
              })
            ),
            { retryDelay: "1 hour", concurrency: 2 }
          )
          yield* until(Effect.sync(() => ran.length === 1))
          yield* send(factory, mail("later"))
          yield* until(Effect.sync(() => ran.length === 2))
        }))
        expect(ran).toEqual(["fails", "later"])
        expect((yield* taken(factory)).attempts).toBe(1)
      }))

    it.scopedLive(
      "goes on after its store was away, and runs again what the store has not noted as done",
      () =>
        Effect.gen(function*() {
          const { factory, throughProxy } = make()
          const ran: Array<string> = []
          const gate = yield* Deferred.make<void>()
          yield* send(factory, mail("a"))
          yield* start(
            throughProxy,
            Mail.toLayer(({ to }) =>
              Effect.zipRight(
                Effect.sync(() => ran.push(to)),
                to === "a" ? Deferred.await(gate) : Effect.void
              )
            ),
            { concurrency: 1 }
          )
          yield* until(Effect.sync(() => ran.length === 1))
          cut()
          yield* Deferred.succeed(gate, undefined)
          if (name === "PostgreSQL") {
            yield* until(
              Effect.map(warnings, (messages) => messages.some((message) => message.includes("The store of the queue")))
            )
          }
          restore()
          yield* send(factory, mail("b"))
          yield* until(Effect.sync(() => ran.includes("b")))
          // The client of Redis keeps the note until Redis is back.
          yield* until(Effect.sync(() => ran.filter((to) => to === "a").length === (name === "PostgreSQL" ? 2 : 1)))
        }).pipe(Effect.provide(recordWarnings)),
      20_000
    )
  })

  describe("the outbox in front of it", () => {
    it.scopedLive("loses nothing that was committed while the store is down, and all of it leaves when that is back", () =>
      Effect.gen(function*() {
        const { factory, throughProxy } = make()
        const executor = yield* Effect.provide(
          PersistedQueueExecutor.executor({ timeout: "1 second" }),
          yield* Layer.build(throughProxy)
        )
        cut()
        yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
        const ids = yield* Effect.all(["a", "b", "c"].map((to) => SqlTransaction.transaction(mail(to))))
        yield* until(Effect.map(Outbox.stats(), ({ relays }) => relays.length === 1))
        const waiting = yield* Effect.fork(
          until(Effect.map(Outbox.find(), ({ rows }) => rows.length === 0))
        )
        restore()
        yield* Fiber.join(waiting)
        const elements = yield* Effect.all([taken(factory), taken(factory), taken(factory)])
        expect(elements.map(({ id }) => id).sort()).toEqual([...ids].sort())
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
  })
})
