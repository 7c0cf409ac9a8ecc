/**
 * RabbitMQ: what is in its queues, what the worker does with messages that it cannot run, lost connections, and the outbox in front.
 */
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as Amqp from "effect-airlock/executors/Amqp"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { describeOnAmqp } from "../support/amqp.js"
import { application, Mail, mail } from "../support/outbox.js"
import { until } from "../support/until.js"

const Other = Task.make("Other", { payload: { n: Schema.Number } })

/** A method of AMQP for the connection as a whole. */
const connectionMethod = (id: number, args: ReadonlyArray<number>): Uint8Array =>
  Uint8Array.of(1, 0, 0, 0, 0, 0, 4 + args.length, 0, 10, 0, id, ...args, 0xce)

const blocked = connectionMethod(60, [3, ...Buffer.from("low")])

const unblocked = connectionMethod(61, [])

describeOnAmqp("RabbitMQ", (amqp) => {
  const { connections, cut, depth, inject, queueName, restore, swallow, taken, takenAll, throughProxy, url } = amqp

  const onRabbitMq = (options: Partial<Amqp.ExecutorOptions>) =>
    AirlockLive.pipe(Layer.provide(Amqp.layer({ connection: url, ...options })))

  /** An Airlock that lives as long as the test, so that its connection does. */
  const living = (options: Partial<Amqp.ExecutorOptions>) =>
    Effect.map(Layer.build(onRabbitMq(options)), Layer.succeedContext)

  const deleteQueue = (queue: string) => Effect.promise(() => amqp.channel().deleteQueue(queue))

  const bodyOf = ({ content }: { readonly content: Buffer }): { readonly payload: unknown } =>
    JSON.parse(content.toString())

  describe("an executor", () => {
    it.scopedLive("publishes persistent messages with the options of their intents", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const urgent = queueName()
        const ids = yield* Effect.all([
          Airlock.enqueue(Mail, { to: "a" }),
          Airlock.enqueue(Other, { n: 1 }, {
            queue: urgent,
            maxAttempts: 3,
            native: Amqp.native({ appId: "shop", headers: { tenant: "acme" } })
          })
        ]).pipe(Airlock.scoped, Effect.provide(onRabbitMq({ queue })))
        expect(yield* depth(queue)).toBe(1)
        const first = yield* taken(queue)
        const second = yield* taken(urgent)
        expect([first, second].map(({ properties }) => properties.messageId)).toEqual(ids)
        expect(first.properties).toMatchObject({ type: "Mail", contentType: "application/json", deliveryMode: 2 })
        expect(Math.abs(first.properties.timestamp * 1000 - Date.now())).toBeLessThan(60_000)
        expect(first.properties.headers).toMatchObject({ "airlock-max-attempts": 10 })
        expect(bodyOf(first)).toMatchObject({ payload: { to: "a" }, version: 1 })
        expect(second.properties).toMatchObject({ type: "Other", appId: "shop" })
        expect(second.properties.headers).toMatchObject({ "airlock-max-attempts": 3, tenant: "acme" })
      }))

    it.scopedLive("keeps the order of a batch that is larger than the buffer of a channel", () =>
      Effect.gen(function*() {
        const queue = queueName()
        yield* Effect.forEach(Array.from({ length: 3000 }, (_, n) => n), (n) => Airlock.enqueue(Other, { n })).pipe(
          Airlock.scoped,
          Effect.provide(onRabbitMq({ queue }))
        )
        expect(yield* depth(queue)).toBe(3000)
        const got = (yield* takenAll(queue, 3000)).map(bodyOf)
        expect(got.every(({ payload }, n) => (payload as { readonly n: number }).n === n)).toBe(true)
      }))

    it.scopedLive("fails an intent that no queue takes, and makes the queue for the next one", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const airlock = yield* living({ queue })
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(airlock))
        yield* deleteQueue(queue)
        const error = yield* mail("b").pipe(Airlock.scoped, Effect.flip, Effect.provide(airlock))
        expect(String(error.failures[0]?.reason)).toContain(`no queue "${queue}"`)
        yield* mail("c").pipe(Airlock.scoped, Effect.provide(airlock))
        expect(bodyOf(yield* taken(queue)).payload).toEqual({ to: "c" })
      }))

    it.scopedLive("says that a queue is there with other arguments, and publishes to others", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const other = queueName()
        yield* Effect.promise(() => amqp.channel().assertQueue(queue, { arguments: { "x-queue-type": "classic" } }))
        const error = yield* Effect.all([mail("a"), mail("b", { queue: other })]).pipe(
          Airlock.scoped,
          Effect.flip,
          Effect.provide(onRabbitMq({ queue }))
        )
        expect(error.failures.length).toBe(1)
        expect(String(error.failures[0]?.reason)).toContain(`The queue "${queue}" is there with other arguments`)
        expect(yield* depth(other)).toBe(1)
      }))

    for (
      const [why, refused] of [
        ["RabbitMQ", mail("b", { native: Amqp.native({ expiration: "soon" }) })],
        ["amqplib", mail("b", { native: Amqp.native({ headers: { large: "x".repeat(100_000) } }) })]
      ] as const
    ) {
      it.scopedLive(`says which intent of a batch ${why} has refused, and publishes the others`, () =>
        Effect.gen(function*() {
          const queue = queueName()
          const error = yield* Effect.all([mail("a"), refused, mail("c"), mail("d")]).pipe(
            Airlock.scoped,
            Effect.flip,
            Effect.provide(onRabbitMq({ queue }))
          )
          expect(error.failures.length).toBe(1)
          const messages = yield* takenAll(queue, yield* depth(queue))
          const sent = messages.map((message) => (bodyOf(message).payload as { readonly to: string }).to)
          expect([...new Set(sent)].sort()).toEqual(["a", "c", "d"])
        }))
    }

    it.scopedLive("fails a batch at once while RabbitMQ takes no messages", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const airlock = yield* living({ queue, connection: throughProxy() })
        const send = mail("a").pipe(Airlock.scoped, Effect.provide(airlock))
        yield* send
        inject(blocked)
        yield* until(Effect.map(Effect.either(send), ({ _tag }) => _tag === "Left"))
        const error = yield* Effect.flip(send)
        expect(String(error.failures[0]?.reason)).toContain("takes no messages for now: low")
        inject(unblocked)
        yield* until(Effect.map(Effect.either(send), ({ _tag }) => _tag === "Right"))
      }))

    it.scopedLive("fails what is not confirmed in time, and connects again", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const airlock = yield* living({ queue, connection: throughProxy(), timeout: "300 millis" })
        const send = mail("a").pipe(Airlock.scoped, Effect.provide(airlock))
        yield* send
        swallow()
        const error = yield* Effect.flip(send)
        expect(String(error.failures[0]?.reason)).toContain("did not confirm it within 300ms")
        restore()
        yield* send
        expect(yield* depth(queue)).toBe(2)
      }))

    it.scopedLive("closes its connection with the Scope", () =>
      Effect.gen(function*() {
        const queue = queueName()
        yield* mail("a").pipe(
          Airlock.scoped,
          Effect.zipRight(Effect.sync(() => expect(connections()).toBeGreaterThan(0))),
          Effect.provide(onRabbitMq({ queue, connection: throughProxy() }))
        )
        yield* until(Effect.sync(() => connections() === 0))
      }))
  })

  it.scopedLive("an executor whose Scope has closed opens no connection", () =>
    Effect.gen(function*() {
      const executor = yield* Effect.scoped(Amqp.executor({ connection: throughProxy(), queue: queueName() }))
      const error = yield* mail("a").pipe(Airlock.scoped, Effect.flip, Effect.provide(Airlock.layer({ executor })))
      expect(String(error.failures[0]?.reason)).toContain("is closed")
      expect(connections()).toBe(0)
    }))

  describe("the configuration", () => {
    const configured = (settings: Record<string, string>) =>
      Airlock.layerConfig({ executors: { amqp: Amqp.executorConfig() } }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromJson({
          AIRLOCK: { EXECUTOR: "amqp" },
          AMQP: settings
        })))
      )

    it.scopedLive("chooses the executor by its name, with its own settings", () =>
      Effect.gen(function*() {
        const queue = queueName()
        yield* mail("a").pipe(
          Airlock.scoped,
          Effect.provide(configured({ URL: url, QUEUE: queue, MAX_ATTEMPTS: "4" }))
        )
        expect((yield* taken(queue)).properties.headers).toMatchObject({ "airlock-max-attempts": 4 })
      }))

    it.scopedLive("says which setting cannot be read", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Layer.build(configured({ MAX_ATTEMPTS: "many" })))
        expect(String(error)).toContain("AMQP.MAX_ATTEMPTS")
      }))
  })

  describe("a worker", () => {
    const start = (
      queue: string,
      handlers: Layer.Layer<never, never, Airlock.Airlock>,
      options: Partial<Amqp.WorkerOptions> = {}
    ) =>
      Layer.build(
        Amqp.worker({ connection: url, queue, retryDelay: "1 millis", ...options }).pipe(
          Layer.provide(handlers),
          Layer.provide(onRabbitMq({ queue }))
        )
      )

    const send = (queue: string, ...mails: ReadonlyArray<ReturnType<typeof mail>>) =>
      Effect.all(mails).pipe(Airlock.scoped, Effect.provide(onRabbitMq({ queue })))

    const failing = Mail.toLayer(({ to }) => Effect.fail(new Error(`no mail for ${to}`)))

    it.scopedLive("makes a message a dead letter after its last attempt, with the reason and its own headers", () =>
      Effect.gen(function*() {
        const queue = queueName()
        yield* start(queue, failing)
        yield* send(
          queue,
          mail("a", { maxAttempts: 3, native: Amqp.native({ appId: "shop", headers: { tenant: "acme" } }) })
        )
        const dead = yield* taken(`${queue}.dead`)
        const { properties } = dead
        expect(bodyOf(dead).payload).toEqual({ to: "a" })
        expect(properties).toMatchObject({ type: "Mail", appId: "shop", deliveryMode: 2 })
        expect(Object.keys(properties.headers!).filter((name) => name !== "x-delivery-count").sort()).toEqual(
          ["airlock-attempts", "airlock-error", "airlock-max-attempts", "tenant"]
        )
        expect(properties.headers).toMatchObject({ "airlock-attempts": 3, "airlock-max-attempts": 3, tenant: "acme" })
        expect(properties.headers?.["airlock-error"]).toContain("no mail for a")
        // It has waited in these.
        yield* Effect.promise(() => amqp.channel().checkQueue(`${queue}.retry.1`))
        yield* Effect.promise(() => amqp.channel().checkQueue(`${queue}.retry.2`))
        expect(yield* depth(queue)).toBe(0)
      }))

    it.scopedLive("tells a dead letter that was put back that its attempts begin again", () =>
      Effect.gen(function*() {
        const queue = queueName()
        yield* send(queue, mail("a", { maxAttempts: 1 }))
        yield* Effect.scoped(Effect.zipRight(
          start(queue, failing),
          Effect.gen(function*() {
            const { content, properties } = yield* taken(`${queue}.dead`)
            amqp.channel().sendToQueue(queue, content, properties)
          })
        ))
        const attempts = yield* Deferred.make<number>()
        yield* start(queue, Mail.toLayer((_, { attempt }) => Deferred.succeed(attempts, attempt)))
        expect(yield* Deferred.await(attempts)).toBe(1)
      }))

    it.scopedLive("fails a message whose task has no handler", () =>
      Effect.gen(function*() {
        const queue = queueName()
        yield* start(queue, Other.toLayer(() => Effect.void))
        yield* send(queue, mail("a", { maxAttempts: 2 }))
        const { properties } = yield* taken(`${queue}.dead`)
        expect(properties.headers?.["airlock-attempts"]).toBe(2)
        expect(properties.headers?.["airlock-error"]).toContain("handler")
      }))

    it.scopedLive("makes a message a dead letter at once whose payload does not fit its task", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const Changed = Task.make("Mail", { payload: { text: Schema.String } })
        yield* start(queue, Changed.toLayer(() => Effect.void))
        yield* send(queue, mail("a"))
        const { properties } = yield* taken(`${queue}.dead`)
        expect(properties.headers?.["airlock-attempts"]).toBe(1)
        expect(properties.headers?.["airlock-error"]).toContain("does not fit the task")
      }))

    for (
      const [what, content, properties] of [
        ["has no id", "{\"payload\":{\"to\":\"a\"},\"version\":1}", { type: "Mail" }],
        ["is no JSON", "hello", { type: "Mail", messageId: "a" }]
      ] as const
    ) {
      it.scopedLive(`makes a message a dead letter at once that ${what}`, () =>
        Effect.gen(function*() {
          const queue = queueName()
          yield* send(queue, mail("a"))
          amqp.channel().sendToQueue(queue, Buffer.from(content), properties)
          const ran = yield* Deferred.make<void>()
          yield* start(queue, Mail.toLayer(() => Deferred.succeed(ran, undefined)))
          const dead = yield* taken(`${queue}.dead`)
          expect(dead.content.toString()).toBe(content)
          expect(dead.properties.headers?.["airlock-error"]).toContain("No executor has published")
          yield* Deferred.await(ran)
        }))
    }

    it.scopedLive("interrupts a handler that does not end in time, and leaves its message to others without an attempt", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const begun = yield* Deferred.make<void>()
        yield* send(queue, mail("a"))
        yield* Effect.scoped(Effect.zipRight(
          start(queue, Mail.toLayer(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)), {
            drainTimeout: 0
          }),
          Deferred.await(begun)
        ))
        const { properties } = yield* taken(queue)
        expect(properties.headers).not.toHaveProperty("airlock-attempt")
      }))

    it.scopedLive("acknowledges a message only when its handler has ended: after a lost connection it runs again, with the same attempt", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const attempts: Array<number> = []
        let running = 0
        let mostRunning = 0
        const gate = yield* Deferred.make<void>()
        yield* start(
          queue,
          Mail.toLayer((_, { attempt }) =>
            Effect.suspend(() => {
              attempts.push(attempt)
              mostRunning = Math.max(mostRunning, ++running)
              return Deferred.await(gate)
            }).pipe(Effect.ensuring(Effect.sync(() => running--)))
          ),
          { connection: throughProxy(), concurrency: 1 }
        )
        yield* send(queue, mail("a"))
        yield* until(Effect.sync(() => attempts.length === 1))
        cut()
        yield* until(Effect.map(depth(queue), (count) => count === 1))
        restore()
        // It is with the worker again.
        yield* until(Effect.map(depth(queue), (count) => count === 0))
        expect(attempts).toEqual([1])
        yield* Deferred.succeed(gate, undefined)
        yield* until(Effect.sync(() => attempts.length === 2))
        expect([attempts, mostRunning]).toEqual([[1, 1], 1])
      }))

    it.scopedLive("makes no second copy of a message whose handler fails after its connection was lost", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const retries = `${queue}.retry.3600000`
        const attempts: Array<number> = []
        const gate = yield* Deferred.make<void>()
        yield* start(
          queue,
          Mail.toLayer((_, { attempt }) =>
            Effect.suspend(() =>
              attempts.push(attempt) === 1
                ? Effect.zipRight(Deferred.await(gate), Effect.fail(new Error("the first run")))
                : Effect.void
            )
          ),
          { connection: throughProxy(), concurrency: 1, retryDelay: "1 hour" }
        )
        yield* send(queue, mail("a"))
        yield* until(Effect.sync(() => attempts.length === 1))
        cut()
        yield* until(Effect.map(depth(queue), (count) => count === 1))
        restore()
        // It is with the worker again.
        yield* until(Effect.map(depth(queue), (count) => count === 0))
        yield* Deferred.succeed(gate, undefined)
        // It begins when the first run has ended.
        yield* until(Effect.sync(() => attempts.length === 2))
        expect(attempts).toEqual([1, 1])
        const { messageCount } = yield* Effect.promise(() => amqp.channel().deleteQueue(retries))
        expect(messageCount).toBe(0)
      }))

    for (const attempt of [0, 1.5, -1, 1e300]) {
      it.scopedLive(`counts from 1 for a message whose header says that it is attempt ${attempt}`, () =>
        Effect.gen(function*() {
          const queue = queueName()
          const attempts: Array<number> = []
          yield* send(queue, mail("a", { maxAttempts: 2 }))
          const { content, properties } = yield* taken(queue)
          amqp.channel().sendToQueue(queue, content, {
            ...properties,
            headers: { ...properties.headers, "airlock-attempt": attempt }
          })
          yield* start(
            queue,
            Mail.toLayer((_, meta) =>
              Effect.suspend(() => attempts.push(meta.attempt) === 1 ? Effect.fail(new Error("once")) : Effect.void)
            )
          )
          yield* until(Effect.sync(() => attempts.length === 2))
          expect(attempts).toEqual([1, 2])
        }))
    }

    it.scopedLive("starts while RabbitMQ is away, and begins when it is back", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const ran = yield* Deferred.make<void>()
        cut()
        yield* start(queue, Mail.toLayer(() => Deferred.succeed(ran, undefined)), { connection: throughProxy() })
        yield* send(queue, mail("a"))
        restore()
        yield* Deferred.await(ran)
      }))

    it.scopedLive("makes its queue again if somebody deletes it", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const ran = yield* Deferred.make<void>()
        yield* start(queue, Mail.toLayer(({ to }) => to === "b" ? Deferred.succeed(ran, undefined) : Effect.void))
        yield* send(queue, mail("a"))
        yield* until(Effect.map(depth(queue), (count) => count === 0))
        yield* deleteQueue(queue)
        // While RabbitMQ still ends the old queue, it can refuse a new one of the same name.
        yield* Effect.eventually(send(queue, mail("b")))
        yield* Deferred.await(ran)
      }))

    it.scopedLive("gives a message back without an attempt if it cannot put it into the queue of retries", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const attempts: Array<number> = []
        const retries = `${queue}.retry.1`
        yield* Effect.promise(() => amqp.channel().assertQueue(retries, { arguments: { "x-queue-type": "classic" } }))
        yield* start(
          queue,
          Mail.toLayer((_, { attempt }) => {
            attempts.push(attempt)
            return attempts.length === 1 ? Effect.fail(new Error("the first run")) : Effect.void
          })
        )
        yield* send(queue, mail("a"))
        yield* until(Effect.sync(() => attempts.length === 2))
        expect(attempts).toEqual([1, 1])
      }))
  })

  it.scopedLive("makes a message a dead letter that was delivered too often without an end", () =>
    Effect.gen(function*() {
      const queue = queueName()
      yield* mail("a").pipe(Airlock.scoped, Effect.provide(onRabbitMq({ queue })))
      yield* until(Effect.promise(async () => {
        const message = await amqp.channel().get(queue)
        if (message !== false) {
          amqp.channel().nack(message)
        }
        return (await amqp.channel().checkQueue(`${queue}.dead`)).messageCount === 1
      }))
      const { properties } = yield* taken(`${queue}.dead`)
      expect(properties.headers?.["x-first-death-reason"]).toBe("delivery_limit")
    }))

  it.scopedLive("publishes the others of an intent whose queue cannot be named", () =>
    Effect.gen(function*() {
      const name = queueName()
      const queue = ({ payload }: { readonly payload: unknown }): string => {
        if ((payload as { readonly to: string }).to === "poison") {
          throw new Error("nobody knows")
        }
        return name
      }
      const error = yield* Effect.all([mail("a"), mail("poison"), mail("c")]).pipe(
        Airlock.scoped,
        Effect.flip,
        Effect.provide(onRabbitMq({ queue }))
      )
      expect(error.failures.map(({ reason }) => String(reason))).toEqual([expect.stringContaining("nobody knows")])
      expect((yield* takenAll(name, 2)).map((message) => bodyOf(message).payload)).toEqual([{ to: "a" }, { to: "c" }])
    }))

  describe("the outbox in front of it", () => {
    for (
      const [why, native] of [
        ["RabbitMQ", { expiration: "soon" }],
        ["amqplib", { headers: { large: "x".repeat(100_000) } }]
      ] as const
    ) {
      it.scopedLive(`makes a dead letter of an intent that ${why} refuses for good, and goes on`, () =>
        Effect.gen(function*() {
          const queue = queueName()
          const executor = yield* Amqp.executor({ connection: url, queue })
          yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
          const id = yield* SqlTransaction.transaction(mail("poison", { native: Amqp.native(native) }))
          yield* until(Effect.map(Outbox.deadLetters(), ({ rows }) => rows.some((row) => row.id === id)))
          yield* SqlTransaction.transaction(mail("b"))
          expect(bodyOf(yield* taken(queue)).payload).toEqual({ to: "b" })
        }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
    }

    it.scopedLive("loses nothing that was committed while RabbitMQ is down, and all of it leaves when RabbitMQ is back", () =>
      Effect.gen(function*() {
        const queue = queueName()
        const executor = yield* Amqp.executor({ connection: throughProxy(), queue, timeout: "1 second" })
        cut()
        yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
        const ids = yield* Effect.all(["a", "b", "c"].map((to) => SqlTransaction.transaction(mail(to))))
        yield* until(Effect.map(Outbox.stats(), ({ relays }) => relays.length === 1))
        const waiting = yield* Effect.fork(
          until(Effect.map(Outbox.find(), ({ rows }) => rows.length === 0))
        )
        restore()
        yield* Fiber.join(waiting)
        const messages = yield* takenAll(queue, 3)
        expect(messages.map(({ properties }) => properties.messageId).sort()).toEqual([...ids].sort())
        expect(messages.map((message) => bodyOf(message).payload)).toEqual([{ to: "a" }, { to: "b" }, { to: "c" }])
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
  })
})
