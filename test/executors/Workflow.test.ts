/**
 * `@effect/workflow` on a cluster: what its storage shows, how attempts are made, how a worker stops, and the outbox in front of it.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import {
  Cause,
  ConfigProvider,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schedule,
  Schema,
  type Scope,
  TestClock
} from "effect"
import { Airlock, AirlockLive, type AirlockScope, Executor, Task } from "effect-airlock"
import * as Workflow from "effect-airlock/executors/Workflow"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { clearWorkflows, clientAt, singleRunnerAt, storedWorkflows } from "../support/cluster.js"
import { application, Mail, mail } from "../support/outbox.js"
import { pgProxy } from "../support/pgProxy.js"
import { describeOn, ownDatabase, postgres } from "../support/servers.js"
import { until } from "../support/until.js"

const Other = Task.make("Other", { payload: { n: Schema.Number } })

describeOn(postgres, "@effect/workflow", () => {
  const url = ownDatabase(postgres)
  const { cut, restore, throughProxy } = pgProxy(url)

  type Client = Layer.Layer.Success<ReturnType<typeof clientAt>>

  /** A test that has a client of an empty cluster. */
  const test = (title: string, self: Effect.Effect<unknown, unknown, Client | Scope.Scope>) =>
    it.scopedLive(title, () =>
      Effect.zipRight(clearWorkflows, self).pipe(
        Effect.provide(Layer.unwrapEffect(Effect.sync(() => clientAt(url().href))))
      ))

  const onCluster = AirlockLive.pipe(Layer.provide(Workflow.layer()))

  const enqueued = <A, E>(self: Effect.Effect<A, E, AirlockScope>) =>
    self.pipe(Airlock.scoped, Effect.provide(onCluster))

  /** Starts a worker on a runner. */
  const start = (
    handlers: Layer.Layer<never, never, Airlock.Airlock>,
    { address = url().href, ...options }: Workflow.WorkerOptions & { readonly address?: string } = {}
  ) =>
    Layer.build(
      Workflow.worker(options).pipe(
        Layer.provide(handlers),
        Layer.provide(onCluster),
        Layer.provide(singleRunnerAt(address))
      )
    )

  const untilEnded = (count: number) =>
    until(
      Effect.map(storedWorkflows, (workflows) =>
        workflows.filter(({ result }) => result?._tag === "Complete").length === count)
    )

  /** Waits for the failure of the only workflow. */
  const failure = Effect.gen(function*() {
    yield* untilEnded(1)
    const [workflow] = yield* storedWorkflows
    expect(workflow?.result.exit).toMatchObject({ _tag: "Failure", cause: { _tag: "Fail" } })
    return workflow?.result.exit.cause.error as Workflow.AttemptError
  })

  describe("an executor", () => {
    test(
      "starts workflows with the options of their intents, which the storage of the cluster shows",
      Effect.gen(function*() {
        const ids = yield* enqueued(Effect.all([
          mail("a"),
          mail("b", { runAt: new Date("2999-01-01"), maxAttempts: 3 }),
          Airlock.enqueue(Other, { n: 1 }, { queue: "urgent" })
        ]))
        const workflows = (yield* storedWorkflows).sort((a, b) => a.payload.id < b.payload.id ? -1 : 1)
        expect(workflows.map(({ payload }) => payload.id)).toEqual(ids)
        expect(workflows).toMatchObject([
          { type: "Workflow/Airlock/default", payload: { task: "Mail", payload: { to: "a" }, version: 1 } },
          { payload: { task: "Mail", payload: { to: "b" }, runAt: Date.UTC(2999, 0, 1), maxAttempts: 3 } },
          { type: "Workflow/Airlock/urgent", payload: { task: "Other", payload: { n: 1 } } }
        ])
        expect(workflows[0]?.payload).not.toHaveProperty("runAt")
      })
    )

    test(
      "takes part neither in a workflow nor in a transaction in which intents are dispatched",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const executor = yield* Workflow.executor()
        const around = WorkflowInstance.initial(Workflow.definition("around"), "around")
        const rolledBack = Executor.make({
          name: "rolledBack",
          dispatch: (intents, handlers) =>
            executor.dispatch(intents, handlers).pipe(
              Effect.flatMap((outcomes) => Effect.fail({ outcomes })),
              Effect.provideService(WorkflowInstance, around),
              sql.withTransaction,
              Effect.catchAll((error) => "outcomes" in error ? Effect.succeed(error.outcomes) : Effect.die(error))
            )
        })
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(Airlock.layer({ executor: rolledBack })))
        const [workflow] = yield* storedWorkflows
        expect(workflow?.payload.payload).toEqual({ to: "a" })
        expect(JSON.stringify(workflow?.payload)).not.toContain("around")
      })
    )

    it.scoped("names what has not left at the time limit, and what has left counts as dispatched", () =>
      Effect.gen(function*() {
        const waits = yield* Deferred.make<void>()
        const engine = Layer.succeed(WorkflowEngine, {
          // Only this part is called.
          execute: (_: unknown, { payload }: { readonly payload: { readonly task: string } }) =>
            payload.task === "Mail" ? Effect.void : Effect.zipRight(Deferred.succeed(waits, undefined), Effect.never)
        } as never)
        const waiting = yield* Effect.all([mail("a"), Airlock.enqueue(Other, { n: 1 })]).pipe(
          Airlock.scoped,
          Effect.flip,
          Effect.provide(AirlockLive.pipe(
            Layer.provide(Workflow.layer({ concurrency: 1, timeout: "3 seconds" })),
            Layer.provide(engine)
          )),
          Effect.fork
        )
        yield* Deferred.await(waits)
        yield* TestClock.adjust("3 seconds")
        const { failures } = yield* Fiber.join(waiting)
        expect(failures.map(({ task }) => task)).toEqual(["Other"])
        expect(String(failures[0]?.reason)).toContain("within 3s")
      }))
  })

  describe("the configuration", () => {
    const configured = (settings: Record<string, string>) =>
      Airlock.layerConfig({ executors: { workflow: Workflow.executorConfig() } }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromJson({
          AIRLOCK: { EXECUTOR: "workflow" },
          WORKFLOW: settings
        })))
      )

    test(
      "chooses the executor by its name, with its own settings",
      Effect.gen(function*() {
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(configured({ QUEUE: "configured" })))
        expect((yield* storedWorkflows).map(({ type }) => type)).toEqual(["Workflow/Airlock/configured"])
      })
    )

    test(
      "says which setting cannot be read",
      Effect.gen(function*() {
        const error = yield* Effect.flip(Layer.build(configured({ TIMEOUT: "soon" })))
        expect(String(error)).toContain("WORKFLOW.TIMEOUT")
      })
    )
  })

  describe("a worker", () => {
    test(
      "dies if it is the second one of its queue on an engine, which would keep the first, or runs none at a time",
      Effect.gen(function*() {
        const two = Layer.mergeAll(Workflow.worker(), Workflow.worker()).pipe(
          Layer.provide(onCluster),
          Layer.provide(singleRunnerAt(url().href))
        )
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(two)))
        expect(String(Exit.isFailure(exit) && exit.cause)).toContain("has a worker of the queue \"default\" already")
        const none = yield* Effect.exit(start(Mail.toLayer(() => Effect.void), { concurrency: 0 }))
        expect(String(Exit.isFailure(none) && none.cause)).toContain("needs an integer of at least 1")
      })
    )

    test(
      "fails a workflow whose task has no handler",
      Effect.gen(function*() {
        yield* enqueued(mail("a", { maxAttempts: 1 }))
        yield* start(Other.toLayer(() => Effect.void))
        const { error, task } = yield* failure
        expect(task).toBe("Mail")
        expect(error).toContain("UnknownTaskError")
      })
    )

    test(
      "leaves the workflow of a queue that has no worker to the cluster, which fails it",
      Effect.gen(function*() {
        yield* enqueued(mail("a", { queue: "unknown" }))
        const runner = singleRunnerAt(url().href, { entityRegistrationTimeout: 0 })
        yield* Layer.build(
          Workflow.worker().pipe(
            Layer.provide(Mail.toLayer(() => Effect.void)),
            Layer.provide(onCluster),
            Layer.provide(runner)
          )
        )
        yield* until(Effect.map(storedWorkflows, ([workflow]) => workflow?.exit !== undefined))
        const [workflow] = yield* storedWorkflows
        expect(JSON.stringify(workflow?.exit)).toContain("'Workflow/Airlock/unknown' not registered")
      })
    )

    test(
      "fails a workflow of a task that is not among its tasks",
      Effect.gen(function*() {
        yield* enqueued(mail("a", { maxAttempts: 1 }))
        yield* start(Layer.mergeAll(Mail.toLayer(() => Effect.void), Other.toLayer(() => Effect.void)), {
          tasks: ["Other"]
        })
        expect((yield* failure).error).toContain("UnknownTaskError")
      })
    )

    test(
      "fails a workflow in its first attempt if the payload does not fit its task",
      Effect.gen(function*() {
        yield* enqueued(Airlock.enqueue(Other, { n: 1 }))
        const Changed = Task.make("Other", { payload: { text: Schema.String } })
        yield* start(Changed.toLayer(() => Effect.void))
        const { attempt, error } = yield* failure
        expect(attempt).toBe(1)
        expect(error).toContain("StoredPayloadError")
      })
    )

    test(
      "makes the attempts that the task says, and stores each",
      Effect.gen(function*() {
        const Retried = Task.make("Retried", {
          payload: { n: Schema.Number },
          retry: { schedule: Schedule.spaced("1 millis").pipe(Schedule.upTo("1 hour")), maxAttempts: 3 }
        })
        const attempts: Array<number> = []
        yield* enqueued(Airlock.enqueue(Retried, { n: 1 }))
        yield* start(Retried.toLayer((_, { attempt }) => {
          attempts.push(attempt)
          return Effect.fail(new Error("no"))
        }))
        const failed = yield* failure
        expect(failed).toMatchObject({ task: "Retried", attempt: 3, error: expect.stringContaining("no") })
        expect(failed).not.toHaveProperty("retryMillis")
        expect(attempts).toEqual([1, 2, 3])
        const sql = yield* SqlClient
        const rows = yield* sql<{ readonly payload: string, readonly reply: string }>`
          SELECT m.payload, r.payload AS reply FROM cluster_messages m JOIN cluster_replies r ON r.request_id = m.id
          WHERE m.tag = 'activity' AND m.payload LIKE '%Retried%' ORDER BY m.rowid`
        expect(rows.map(({ payload }) => JSON.parse(payload).attempt)).toEqual([1, 2, 3])
        expect(JSON.parse(rows[0]!.reply).value.exit.cause.error).toMatchObject({ attempt: 1, retryMillis: 1 })
      })
    )

    test(
      "gives a workflow no further attempt when the schedule of its task has ended, which sees the error",
      Effect.gen(function*() {
        const Picky = Task.make("Picky", {
          payload: { n: Schema.Number },
          retry: {
            schedule: Schedule.recurWhile((reason) =>
              reason._tag === "DispatchError" && String(reason.cause).includes("again")
            )
          }
        })
        yield* enqueued(Airlock.enqueue(Picky, { n: 1 }))
        yield* start(Picky.toLayer((_, { attempt }) => Effect.fail(new Error(attempt < 3 ? "again" : "no"))))
        expect((yield* failure).attempt).toBe(3)
      })
    )

    test(
      "gives a workflow no further attempt when its handler discards it",
      Effect.gen(function*() {
        yield* enqueued(mail("a"))
        yield* start(Mail.toLayer(() => Outbox.discard("no such address")))
        const { attempt, error } = yield* failure
        expect(attempt).toBe(1)
        expect(error).toContain("no such address")
      })
    )

    test(
      "gives a workflow the attempts of its enqueue rather than its own",
      Effect.gen(function*() {
        yield* enqueued(mail("a", { maxAttempts: 1 }))
        yield* start(Mail.toLayer(() => Effect.fail(new Error("no"))), { maxAttempts: 5 })
        expect((yield* failure).attempt).toBe(1)
      })
    )

    test(
      "fails the attempt of a handler at its time limit",
      Effect.gen(function*() {
        yield* enqueued(mail("a", { maxAttempts: 1 }))
        yield* start(Mail.toLayer(() => Effect.never), { timeout: "50 millis" })
        expect((yield* failure).error).toContain("SettleTimeoutError")
      })
    )

    test(
      "goes on with the attempts of a workflow where another worker has stopped",
      Effect.gen(function*() {
        const Paused = Task.make("Paused", {
          payload: { n: Schema.Number },
          retry: { schedule: Schedule.spaced("200 millis") }
        })
        const failed = yield* Deferred.make<void>()
        const second = yield* Deferred.make<number>()
        yield* enqueued(Airlock.enqueue(Paused, { n: 1 }))
        yield* Effect.scoped(Effect.zipRight(
          start(
            Paused.toLayer(() => Effect.zipRight(Deferred.succeed(failed, undefined), Effect.fail(new Error("no"))))
          ),
          Deferred.await(failed)
        ))
        yield* start(Paused.toLayer((_, { attempt }) => Deferred.succeed(second, attempt)))
        expect(yield* Deferred.await(second)).toBe(2)
      })
    )

    test(
      "keeps a long delay in the storage, and runs the intent after it",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const ran = yield* Deferred.make<string>()
        yield* enqueued(mail("a", { delay: "1 hour" }))
        yield* start(Mail.toLayer(({ to }) => Deferred.succeed(ran, to)))
        const clocks = sql<
          { readonly at: string }
        >`SELECT deliver_at AS at FROM cluster_messages WHERE deliver_at IS NOT NULL`
        yield* until(Effect.map(clocks, (rows) => rows.length === 1))
        yield* until(Effect.map(storedWorkflows, ([workflow]) => workflow?.result?._tag === "Suspended"))
        const [clock] = yield* clocks
        expect(Math.abs(Number(clock!.at) - Date.now() - 3_600_000)).toBeLessThan(60_000)
        expect(yield* Deferred.isDone(ran)).toBe(false)
        yield* sql`UPDATE cluster_messages SET deliver_at = 1 WHERE deliver_at IS NOT NULL`
        expect(yield* Deferred.await(ran)).toBe("a")
        yield* untilEnded(1)
      })
    )

    test(
      "runs as many handlers at a time as its concurrency says",
      Effect.gen(function*() {
        let running = 0
        let peak = 0
        yield* enqueued(Effect.forEach(Array.from({ length: 12 }), () => mail("a")))
        yield* start(
          Mail.toLayer(() =>
            Effect.acquireUseRelease(
              Effect.sync(() => {
                running++
                peak = Math.max(peak, running)
              }),
              // Long enough for others to begin.
              () => Effect.repeatN(Effect.promise(() => new Promise(setImmediate)), 100),
              () =>
                Effect.sync(() => {
                  running--
                })
            )
          ),
          { concurrency: 2 }
        )
        yield* untilEnded(12)
        expect(peak).toBe(2)
      })
    )

    test(
      "interrupts a handler that does not end in time, and leaves its workflow to others without an attempt",
      Effect.gen(function*() {
        const begun = yield* Deferred.make<void>()
        const attempt = yield* Deferred.make<number>()
        yield* enqueued(mail("a"))
        yield* Effect.scoped(Effect.zipRight(
          start(Mail.toLayer(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))),
          Deferred.await(begun)
        ))
        const [workflow] = yield* storedWorkflows
        expect(workflow?.result).toBe(undefined)
        yield* start(Mail.toLayer((_, context) => Deferred.succeed(attempt, context.attempt)))
        expect(yield* Deferred.await(attempt)).toBe(1)
      })
    )

    test(
      "goes on when the database of the cluster is back",
      Effect.gen(function*() {
        const got: Array<string> = []
        yield* start(Mail.toLayer(({ to }) => Effect.sync(() => got.push(to))), { address: throughProxy() })
        yield* enqueued(mail("a"))
        yield* untilEnded(1)
        cut()
        yield* enqueued(mail("b"))
        restore()
        yield* untilEnded(2)
        expect(got).toEqual(["a", "b"])
      })
    )
  })

  test(
    "a queue's definition tells the result of a workflow, and stops it",
    Effect.gen(function*() {
      const { interrupt, poll } = Workflow.definition("looked")
      yield* enqueued(Effect.all([
        mail("bad", { queue: "looked", maxAttempts: 1 }),
        mail("late", { queue: "looked", delay: "1 hour" })
      ]))
      yield* start(Mail.toLayer(({ to }) => Effect.fail(new Error(to))), { queue: "looked" })
      yield* until(Effect.map(storedWorkflows, (workflows) => workflows.every(({ result }) => result !== undefined)))
      const workflows = yield* storedWorkflows
      const idOf = (to: string) => workflows.find(({ payload }) => payload.payload.to === to)!.executionId
      const causeOf = (to: string) =>
        Effect.map(
          poll(idOf(to)),
          (result) => result?._tag === "Complete" && Exit.isFailure(result.exit) ? result.exit.cause : Cause.empty
        )
      expect(Option.getOrThrow(Cause.failureOption(yield* causeOf("bad"))).message).toContain("Attempt 1 of intent")
      yield* interrupt(idOf("late"))
      yield* untilEnded(2)
      expect(Cause.isInterruptedOnly(yield* causeOf("late"))).toBe(true)
    })
  )

  test(
    "the outbox in front of it loses nothing that was committed while the cluster's database is down",
    Effect.gen(function*() {
      const away = yield* Layer.build(Layer.unwrapEffect(Effect.sync(() => clientAt(throughProxy()))))
      const executor = yield* Effect.provide(Workflow.executor({ timeout: "1 second" }), away)
      cut()
      const ids = yield* Effect.gen(function*() {
        yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
        const ids = yield* Effect.all(["a", "b", "c"].map((to) => SqlTransaction.transaction(mail(to))))
        yield* until(Effect.map(Outbox.stats(), ({ relays }) => relays.length === 1))
        const waiting = yield* Effect.fork(until(Effect.map(Outbox.find(), ({ rows }) => rows.length === 0)))
        restore()
        yield* Fiber.join(waiting)
        return ids
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked))
      const workflows = yield* storedWorkflows
      expect(workflows.map(({ payload }) => payload.id).sort()).toEqual([...ids].sort())
    })
  )
})
