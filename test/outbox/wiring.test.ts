/**
 * Wiring that loses durability: a warning or an error names it, and `Outbox.live` cannot be wired so.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { Airlock, AirlockLive, AirlockTest, Executor, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { sqlite } from "../support/databases.js"
import { mail, outboxOnSqlite, storedPayloads } from "../support/outbox.js"
import { recordWarnings, warnings } from "../support/warnings.js"

const database = Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(sqlite.client()), Layer.orDie)

const nameOfExecutor = Effect.map(Airlock.configuration, ({ executor }) => executor)

const unusedOutbox =
  "No Airlock uses the outbox \"airlock_outbox\". An intent goes to the executor \"inProcess\" instead, " +
  "and may be lost if this process dies. Provide Outbox.live() in place of AirlockLive and Outbox.layer, and no other Airlock."

const twoAirlocks = (one: string, other: string) =>
  `This process has two Airlocks whose executors differ: "${one}" and "${other}". The handlers of one do not run the ` +
  "intents of the other, and intents of the wrong one may not be durable. Provide one Airlock to the whole application: " +
  "with an outbox, one constant that Outbox.live() returns, and no AirlockLive."

describe("Outbox.live", () => {
  it.scoped("is durable although an AirlockLive was built first in the same graph", () =>
    Effect.gen(function*() {
      const merged = Layer.mergeAll(AirlockLive, Outbox.live())
      yield* Effect.provide(Airlock.scoped(mail("a")), merged)
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
      expect(yield* warnings).toEqual([twoAirlocks("inProcess", "outbox")])
    }).pipe(Effect.provide([database, recordWarnings])))

  it.scoped("is one Airlock for all places that name the same constant, and another one for each call", () =>
    Effect.gen(function*() {
      const built: Array<unknown> = []
      const live = Outbox.live()
      const place = Layer.effectDiscard(Effect.map(Airlock.Airlock, (airlock) => built.push(airlock)))
      const places = [live, live, Outbox.live()].map((layer) => Layer.provide(Layer.fresh(place), layer))
      yield* Layer.build(places.reduce((before, place) => Layer.provideMerge(place, before)))
      expect([built[0] === built[1], built[0] === built[2]]).toEqual([true, false])
    }).pipe(Effect.provide(database)))

  it.scoped("takes the options of the outbox and those of Airlock.layer", () =>
    Effect.gen(function*() {
      expect(yield* Airlock.configuration).toMatchObject({
        executor: "outbox",
        executorOptions: { table: "airlock_outbox", heldTimeout: "2m", onExpiry: "discard" },
        maxIntents: 5
      })
    }).pipe(Effect.provide(
      Outbox.live({ heldTimeout: "2 minutes", onExpiry: "discard", maxIntents: 5 }).pipe(Layer.provide(database))
    )))

  it.scoped("dies if heldTimeout is not a positive and finite time", () =>
    Effect.gen(function*() {
      for (const [heldTimeout, printed] of [[0, "0"], [-1, "0"], [Infinity, "Infinity"]] as const) {
        expect(String(yield* Effect.flip(Effect.sandbox(Layer.build(Outbox.live({ heldTimeout })))))).toContain(
          `RangeError: The outbox needs a positive and finite time as its option \`heldTimeout\`, and got ${printed}`
        )
      }
    }).pipe(Effect.provide(database)))
})

describe("an outbox that no Airlock uses", () => {
  it.scoped("is named in one warning at the first enqueue", () =>
    Effect.gen(function*() {
      expect(yield* warnings).toEqual([])
      yield* Effect.exit(Airlock.scoped(Effect.zipRight(mail("a"), mail("b"))))
      yield* Effect.exit(Airlock.scoped(mail("c")))
      expect(yield* warnings).toEqual([unusedOutbox])
    }).pipe(Effect.provide(
      // AirlockLive is built once, without the outbox, although the second place would give it one.
      Layer.mergeAll(AirlockLive, AirlockLive.pipe(Layer.provide(Outbox.layer()))).pipe(
        Layer.provide(database),
        Layer.provideMerge(recordWarnings)
      )
    )))

  const closure = Airlock.scoped(Airlock.enqueueEffect("closure", Effect.void))
  const users: Record<string, Layer.Layer<Airlock.Airlock, never, never>> = {
    "a route": Layer.unwrapEffect(Effect.map(Executor.CurrentExecutor, (outbox) =>
      Airlock.layer({
        executor: Executor.route(({ task }) => task.name === "Mail" ? outbox : Executor.inProcess())
      }))),
    "a background executor": Layer.unwrapEffect(
      Effect.map(Executor.CurrentExecutor, (executor) => Airlock.layer({ executor: Executor.background({ executor }) }))
    ),
    "a combinator": Layer.unwrapEffect(
      Effect.map(Executor.CurrentExecutor, (outbox) => Airlock.layer({ executor: Executor.timed(outbox, "1 second") }))
    ),
    "AirlockTest.layer": AirlockTest.layer(),
    "AirlockTest.inline": AirlockTest.inline()
  }
  for (const [name, layer] of Object.entries(users)) {
    it.scoped(`is not one that ${name} may use`, () =>
      Effect.gen(function*() {
        yield* Effect.exit(closure)
        expect(yield* warnings).toEqual([])
      }).pipe(Effect.provide(layer.pipe(Layer.provide(outboxOnSqlite), Layer.provideMerge(recordWarnings)))))
  }

  it.scoped("is not one that a scope of its own has as its executor", () =>
    Effect.gen(function*() {
      // The context has the outbox as its executor, so the scope uses it, although Airlock was built without it.
      yield* Airlock.scoped(mail("a"))
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
      expect(yield* warnings).toEqual([])
    }).pipe(Effect.provide(outboxOnSqlite), Effect.provide(AirlockLive), Effect.provide(recordWarnings)))
})

describe("two Airlocks in one process", () => {
  const build = (layer: Layer.Layer<Airlock.Airlock>) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      return { context, close: Scope.close(scope, Exit.void) }
    })
  const background = Airlock.layer({ executor: Executor.background() })

  it.effect("are named in one warning if their executors differ", () =>
    Effect.gen(function*() {
      const one = yield* build(Airlock.layer())
      const other = yield* build(background)
      expect(yield* warnings).toEqual([twoAirlocks("inProcess", "background")])
      yield* other.close
      const again = yield* build(Layer.fresh(background))
      expect(yield* warnings).toHaveLength(1)
      yield* Effect.zipRight(again.close, one.close)
    }).pipe(Effect.provide(recordWarnings)))

  it.effect("are named once for each pair of executors, however many Airlocks there are", () =>
    Effect.gen(function*() {
      const backgrounds = yield* Effect.replicateEffect(build(Layer.fresh(background)), 4)
      const inProcess = yield* build(Airlock.layer())
      expect(yield* warnings).toEqual([twoAirlocks("background", "inProcess")])
      const drain = yield* build(Airlock.layer({ executor: Executor.drain() }))
      const more = yield* build(Layer.fresh(background))
      expect(yield* warnings).toEqual([
        twoAirlocks("background", "inProcess"),
        twoAirlocks("background", "drain"),
        twoAirlocks("inProcess", "drain")
      ])
      yield* Effect.forEach([...backgrounds, inProcess, drain, more], ({ close }) => close)
    }).pipe(Effect.provide(recordWarnings)))

  it.effect("are no reason for a warning if they have the same executor, or live one after the other", () =>
    Effect.gen(function*() {
      const one = yield* build(Airlock.layer())
      const same = yield* build(Airlock.layer({ executor: Executor.inProcess({ concurrency: 2 }) }))
      yield* Effect.zipRight(same.close, one.close)
      const other = yield* build(background)
      yield* other.close
      expect(yield* warnings).toEqual([])
    }).pipe(Effect.provide(recordWarnings)))

  it.effect("are no reason for a warning if one is of AirlockTest", () =>
    Effect.gen(function*() {
      const one = yield* build(background)
      const test = yield* build(AirlockTest.layer())
      const other = yield* build(AirlockTest.inline())
      const last = yield* build(Layer.fresh(background))
      yield* Effect.all([last.close, other.close, test.close, one.close])
      expect(yield* warnings).toEqual([])
    }).pipe(Effect.provide(recordWarnings)))

  it.effect("are named in the error of an intent whose handler the other one has", () =>
    Effect.gen(function*() {
      const Welcome = Task.make("Welcome", { payload: Schema.Void })
      const handled = yield* build(
        Welcome.toLayer(() => Effect.void).pipe(Layer.provideMerge(Layer.fresh(background)))
      )
      const error = yield* Airlock.enqueue(Welcome, undefined).pipe(
        Airlock.scoped,
        Effect.provide(AirlockLive),
        Effect.flip
      )
      expect(error.failures[0]!.reason).toMatchObject({
        _tag: "UnknownTaskError",
        elsewhere: "background",
        message:
          "No handler is registered for the task \"Welcome\" (registered: none). Another Airlock of this process, " +
          "with the executor \"background\", has a handler for it. Provide one Airlock, the same Layer, to the handlers and " +
          "to the scopes."
      })
      yield* handled.close
      const alone = yield* Airlock.enqueue(Welcome, undefined).pipe(
        Airlock.scoped,
        Effect.provide(AirlockLive),
        Effect.flip
      )
      expect(alone.failures[0]!.reason).not.toHaveProperty("elsewhere")
    }).pipe(Effect.provide(recordWarnings)))
})

describe("Airlock.requireDurable", () => {
  const started = <E>(airlock: Layer.Layer<Airlock.Airlock, E>) =>
    Effect.exit(Effect.provide(nameOfExecutor, Airlock.requireDurable.pipe(Layer.provideMerge(airlock))))

  it.effect("fails at the start with an error that names the executor, if that is not durable", () =>
    Effect.gen(function*() {
      const refused = yield* Effect.flip(yield* started(AirlockLive))
      expect(refused).toMatchObject({
        _tag: "NotDurableError",
        executor: "inProcess",
        message:
          "The Airlock of this application has the executor \"inProcess\", which stores no intents: they are lost if " +
          "this process dies. Provide Outbox.live(), or another durable executor, in place of AirlockLive."
      })
      const executors = [
        Executor.background(),
        Executor.drain(),
        Executor.make({ name: "printer", dispatch: () => Effect.succeed([]) })
      ]
      for (const executor of executors) {
        expect(Exit.isFailure(yield* started(Airlock.layer({ executor })))).toBe(true)
      }
    }))

  it.scoped("lets an outbox pass, a durable executor of the application, a route, and AirlockTest", () =>
    Effect.gen(function*() {
      const durable = Executor.make({ name: "queue", durable: true, dispatch: () => Effect.succeed([]) })
      const airlocks = [
        Outbox.live().pipe(Layer.provide(database)),
        Airlock.layer({ executor: durable }),
        Airlock.layer({ executor: Executor.background({ executor: durable }) }),
        Airlock.layer({ executor: Executor.route(() => durable) }),
        AirlockTest.layer()
      ]
      for (const airlock of airlocks) {
        expect(Exit.isSuccess(yield* started(airlock))).toBe(true)
      }
    }))
})
