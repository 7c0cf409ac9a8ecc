/**
 * I12: every decision can be seen, in traces and in metrics.
 */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Logger, LogLevel, Metric, Option, Schema } from "effect"
import { Airlock, AirlockMetrics, Executor, HttpMiddleware, Policy, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { serving } from "../support/http.js"
import { attribute, collector, type OtlpSpan } from "../support/otlp.js"
import { application } from "../support/outbox.js"
import { layer, note } from "../support/recorder.js"

const Mail = Task.make("Mail", { payload: { to: Schema.String } })
const Index = Task.make("Index", { payload: { id: Schema.Number } })

const Tasks = Layer.mergeAll(
  Mail.toLayer(({ to }) =>
    to === "bad"
      ? Effect.fail(new Error("no such address"))
      : Effect.withSpan(Airlock.enqueue(Index, { id: 7 }), "render mail")
  ),
  Index.toLayerBatched(() => Effect.void)
)

const named = (spans: ReadonlyArray<OtlpSpan>, name: string) => spans.filter((span) => span.name === name)
const one = (spans: ReadonlyArray<OtlpSpan>, name: string): OtlpSpan => {
  const found = named(spans, name)
  expect(found.length, name).toBe(1)
  return found[0]!
}

describe("I12: a trace", () => {
  it.live("links request, enqueue, flush and task across scopes and fibers, at an OTLP collector", () =>
    Effect.gen(function*() {
      const { layer, spans } = collector()
      const checkout = Airlock.enqueue(Mail, { to: "a@b.c" }).pipe(Effect.withSpan("checkout"))
      const router = HttpRouter.empty.pipe(HttpRouter.post(
        "/orders",
        Effect.gen(function*() {
          // The inner scope runs in its own fiber. The scope of the request captures its intent.
          const fiber = yield* Effect.fork(Airlock.scoped(checkout))
          yield* fiber.await
          return HttpServerResponse.empty()
        })
      ))
      yield* Effect.gen(function*() {
        const url = yield* serving(router.pipe(HttpServer.serve(HttpMiddleware.airlock)))
        yield* Effect.promise(() => fetch(`${url}/orders`, { method: "POST" }))
      }).pipe(
        Effect.scoped,
        Effect.provide(Tasks.pipe(Layer.provideMerge(Airlock.AirlockLive), Layer.provideMerge(layer)))
      )
      const request = one(spans, "http.server POST")
      const enqueued = one(spans, "checkout")
      const mail = named(spans, "airlock.task").find((span) => attribute(span, "airlock.task") === "Mail")
      const flush = named(spans, "airlock.flush").find((span) => span.spanId === mail!.parentSpanId)!
      expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1)
      expect(enqueued.events.map((event) => [event.name, attribute(event, "airlock.task")])).toEqual([
        ["airlock.enqueue", "Mail"]
      ])
      const intent = attribute(enqueued.events[0]!, "airlock.intent")
      // The task is a child of the flush that ran it, and linked to the span that enqueued it.
      expect(mail!.links.map(({ spanId }) => spanId)).toEqual([enqueued.spanId])
      expect(attribute(mail!, "airlock.intent")).toBe(intent)
      expect(attribute(flush, "airlock.captured")).toBe(1)
      expect(flush.events.map((event) => [event.name, attribute(event, "intent")])).toEqual([
        ["airlock.dispatched", `Mail ${intent}`]
      ])
      expect(ancestors(spans, flush)).toContain(request.spanId)
      // The handler's own intents are below it.
      const inner = named(spans, "airlock.task").find((span) => attribute(span, "airlock.task") === "Index")!
      expect(inner.links.map(({ spanId }) => spanId)).toEqual([one(spans, "render mail").spanId])
      expect(ancestors(spans, inner)).toContain(mail!.spanId)
    }))

  it.live("has an event for the decision about each intent, in the span of the flush", () =>
    Effect.gen(function*() {
      const { layer, spans } = collector()
      yield* Effect.all([
        Airlock.enqueue(Mail, { to: "bad" }),
        Airlock.withPolicy(Airlock.enqueue(Mail, { to: "dropped" }), Policy.dropAll),
        Effect.ignore(Effect.timeout(Effect.zipRight(Airlock.enqueue(Mail, { to: "late" }), Effect.never), 0))
      ]).pipe(
        Airlock.scoped({ name: "batch job" }),
        Effect.exit,
        Effect.provide(Tasks.pipe(Layer.provideMerge(Airlock.AirlockLive), Layer.provideMerge(layer)))
      )
      const flush = one(spans, "airlock.flush")
      expect(ancestors(spans, flush)).toContain(one(spans, "airlock.scope").spanId)
      expect(attribute(flush, "airlock.scope")).toBe("batch job")
      // Effect adds log lines to the span too.
      const decisions = flush.events.filter(({ name }) => name.startsWith("airlock."))
      expect(decisions.map((event) => [event.name, attribute(event, "policy") ?? attribute(event, "reason")]))
        .toEqual([
          ["airlock.discarded", undefined],
          ["airlock.dropped", "dropAll"],
          ["airlock.failed", "DispatchError"]
        ])
      expect(["discarded", "dropped", "failed"].map((key) => Number(attribute(flush, `airlock.${key}`)))).toEqual([
        1,
        1,
        1
      ])
    }))

  it.live("shows background work as a child of the flush that has ended", () =>
    Effect.gen(function*() {
      const { layer, spans } = collector()
      yield* Airlock.enqueue(Index, { id: 1 }).pipe(
        Effect.withSpan("enqueues"),
        Airlock.scoped,
        Effect.provide(Tasks.pipe(
          Layer.provideMerge(Airlock.layer({ executor: Executor.background() })),
          Layer.provideMerge(layer)
        ))
      )
      const task = one(spans, "airlock.task")
      expect(task.parentSpanId).toBe(one(spans, "airlock.flush").spanId)
      expect(task.links.map(({ spanId }) => spanId)).toEqual([one(spans, "enqueues").spanId])
    }))

  it.live("links a task that a relay runs to the span of its enqueue, which another process may have ended long ago", () =>
    Effect.gen(function*() {
      const { layer, spans } = collector()
      const ran = yield* Deferred.make<void>()
      yield* Effect.gen(function*() {
        yield* SqlTransaction.transaction(Effect.withSpan(Airlock.enqueue(Index, { id: 1 }), "enqueues"))
        yield* Effect.scoped(Effect.zipRight(
          Layer.build(
            Outbox.relay({ pollInterval: "20 millis" }).pipe(
              Layer.provide(Index.toLayer(() => Deferred.succeed(ran, undefined)))
            )
          ),
          Deferred.await(ran)
        ))
      }).pipe(Effect.provide(application.pipe(Layer.provideMerge(Airlock.unchecked), Layer.provideMerge(layer))))
      const task = one(spans, "airlock.task")
      const enqueued = one(spans, "enqueues")
      expect(task.links.map(({ spanId, traceId }) => [traceId, spanId])).toEqual([[enqueued.traceId, enqueued.spanId]])
      expect(attribute(task, "airlock.attempt")).toBe(1)
      // The relay is no part of the request: its tasks are not below the span of the enqueue.
      expect(task.traceId).not.toBe(enqueued.traceId)
    }))

  it.effect("has no span of Airlock if no tracer is installed", () =>
    Effect.gen(function*() {
      let around: Option.Option<string> = Option.none()
      yield* Airlock.enqueueEffect(
        "look",
        Effect.tap(Effect.option(Effect.currentSpan), (span) => {
          around = Option.map(span, ({ name }) => name)
        })
      ).pipe(Airlock.scoped, Effect.provide(Airlock.AirlockLive))
      expect(around).toEqual(Option.none())
    }))
})

const ancestors = (spans: ReadonlyArray<OtlpSpan>, span: OtlpSpan): ReadonlyArray<string> => {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
  return parent === undefined ? [] : [parent.spanId, ...ancestors(spans, parent)]
}

describe("the logs", () => {
  it.effect("have no line about an intent that leaves, nor about one whose failure is in the FlushError", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        lines.push(`${logLevel.label} ${String(message)}`)
      })
      const flushed = yield* Effect.all([
        note("leaves"),
        note("fails"),
        Airlock.withPolicy(note("is dropped"), Policy.dropAll),
        Effect.ignore(Airlock.scoped(Effect.zipRight(note("is discarded"), Effect.fail("no"))))
      ]).pipe(
        Airlock.scoped,
        Effect.exit,
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.All)
      )
      expect(Exit.isFailure(flushed)).toBe(true)
      expect(lines).toEqual([
        "DEBUG Airlock discarded intents: their scope did not succeed",
        "DEBUG Airlock dropped intents: a policy does not let them leave"
      ])
    }).pipe(Effect.provide(layer())))
})

describe("I12: the metrics", () => {
  const counters = {
    enqueued: AirlockMetrics.enqueued,
    captured: AirlockMetrics.captured,
    discarded: AirlockMetrics.discarded,
    dispatched: AirlockMetrics.dispatched,
    late: AirlockMetrics.lateIntents
  }
  const read = Effect.gen(function*() {
    const counts: Record<string, number> = {}
    for (const [name, metric] of Object.entries(counters)) {
      counts[name] = (yield* Metric.value(metric)).count
    }
    const tagged = (metric: typeof AirlockMetrics.dropped, tags: Record<string, string>) =>
      Effect.map(
        Metric.value(Object.entries(tags).reduce((metric, [key, value]) => Metric.tagged(metric, key, value), metric)),
        ({ count }) => count
      )
    return {
      ...counts,
      dropped: yield* tagged(AirlockMetrics.dropped, { task: "Note", policy: "dropAll" }),
      failed: yield* tagged(AirlockMetrics.failed, { task: "Note", reason: "DispatchError" }),
      size: (yield* Metric.value(AirlockMetrics.scopeSize)).count,
      flush: (yield* Metric.value(AirlockMetrics.flushMillis)).count
    }
  })

  it.effect("count each intent by its outcome", () =>
    Effect.gen(function*() {
      const before: Record<string, number> = yield* read
      yield* Effect.all([
        note("a"),
        note("fail"),
        Airlock.scoped(note("captured")),
        Airlock.withPolicy(note("dropped"), Policy.dropAll),
        Effect.ignore(Airlock.scoped(Effect.zipRight(note("discarded"), Effect.fail("no"))))
      ]).pipe(Airlock.scoped, Effect.exit, Effect.provide(layer()))
      const after: Record<string, number> = yield* read
      expect(Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - before[name]!]))).toEqual({
        enqueued: 5,
        captured: 1,
        discarded: 1,
        dispatched: 2,
        dropped: 1,
        failed: 1,
        late: 0,
        // Of the outer scope and the two inside it.
        size: 3,
        flush: 3
      })
    }))
})
