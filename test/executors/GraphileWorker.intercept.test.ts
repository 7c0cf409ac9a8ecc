/**
 * Direct calls of graphile-worker's utilities that go through Airlock.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
import { type Job, Logger, makeWorkerUtils, run, type Task, type WorkerUtils } from "graphile-worker"
import { interceptTests } from "../support/intercept.js"
import { describeOnPostgresProxy } from "../support/postgresProxy.js"
import { until } from "../support/until.js"
import { recordWarnings } from "../support/warnings.js"

/** graphile-worker prints each job. */
const logger = new Logger(() => () => undefined)

describeOnPostgresProxy("graphile-worker", ({ client, url }) => {
  const query = <Row extends object>(statement: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(statement)).pipe(Effect.orDie, Effect.provide(client))

  const utils = Effect.acquireRelease(
    Effect.promise(async () => {
      const utils = await makeWorkerUtils({ connectionString: url(), logger })
      await utils.migrate()
      return utils
    }),
    ({ release }) => Effect.promise(async () => release())
  ).pipe(Effect.zipLeft(query("DELETE FROM graphile_worker._private_jobs")))

  interface Row {
    readonly id: string
    readonly task_identifier: string
    readonly payload: unknown
    readonly key: string | null
  }

  const rows = query<Row>(`
    SELECT jobs.*, stored.payload
    FROM graphile_worker.jobs JOIN graphile_worker._private_jobs AS stored USING (id) ORDER BY id`)

  interceptTests<WorkerUtils>({
    open: utils,
    intercept: GraphileWorker.intercept,
    add: (utils, name, data) => utils.addJob(name, data),
    addDirectly: (utils, name, data) => GraphileWorker.direct(utils).addJob(name, data),
    method: "addJob",
    prefix: "graphile-worker",
    jobs: () => Effect.map(rows, (rows) => rows.map(({ payload, task_identifier: name }) => ({ name, data: payload }))),
    work: (utils, names, processor, wrapped) =>
      Effect.gen(function*() {
        const tasks = yield* Effect.forEach(names, (name) => {
          const plain: Task = async (data) => processor({ name, data })
          return Effect.map(
            wrapped ? GraphileWorker.wrapTask(utils, plain) : Effect.succeed(plain),
            (task) => [name, task]
          )
        })
        yield* Effect.acquireRelease(
          Effect.promise(() =>
            run({ connectionString: url(), taskList: Object.fromEntries(tasks), noHandleSignals: true, logger })
          ),
          (runner) => Effect.promise(() => runner.stop())
        )
      })
  })

  const live = <E>(
    name: string,
    body: (utils: WorkerUtils) => Effect.Effect<unknown, E, Airlock.Airlock | Scope.Scope>
  ) =>
    it.scopedLive(
      name,
      () => Effect.flatMap(utils, body).pipe(Effect.provide(Layer.merge(AirlockLive, recordWarnings)))
    )

  /** What the database has of the jobs. */
  const stored = query<Record<string, unknown>>(`
    SELECT task_identifier, stored.payload, jobs.priority, queue_name, jobs.max_attempts, jobs.flags, jobs.key, jobs.revision,
      round(extract(epoch FROM jobs.run_at - jobs.created_at) / 60)::int AS starts_in
    FROM graphile_worker.jobs JOIN graphile_worker._private_jobs AS stored USING (id) ORDER BY id`)

  const calls: Record<string, (utils: WorkerUtils) => Promise<unknown>> = {
    "addJob": (utils) => utils.addJob("receipt", { order: 1 }),
    "addJob without a payload": (utils) => utils.addJob("receipt", undefined),
    "addJob with options": (utils) =>
      utils.addJob("receipt", { order: 1 }, {
        queueName: "orders",
        runAt: new Date("2100-01-01"),
        priority: -3,
        maxAttempts: 4,
        flags: ["heavy"]
      }),
    "addJob with a key": (utils) => utils.addJob("receipt", { order: 1 }, { jobKey: "order 1" }),
    "addJobs": (utils) => utils.addJobs([{ identifier: "receipt", payload: { order: 1 }, priority: 7, jobKey: "k" }])
  }

  for (const [title, call] of Object.entries(calls)) {
    live(`the job of ${title} is the same as that of a direct call`, (utils) =>
      Effect.gen(function*() {
        yield* Effect.promise(() => call(utils))
        const [direct] = yield* stored
        yield* query("DELETE FROM graphile_worker._private_jobs")
        yield* GraphileWorker.intercept(utils)
        const answer = yield* Effect.promise(() => call(utils)).pipe(Airlock.scoped)
        const [intercepted, ...others] = yield* stored
        const [job] = [answer as Job].flat()
        // Without a key of its own, a job has the id of its intent.
        expect(intercepted).toEqual({ ...direct, key: direct!["key"] ?? job!.id })
        expect(others).toEqual([])
        expect(job).toMatchObject({
          task_identifier: "receipt",
          payload: intercepted!["payload"],
          priority: intercepted!["priority"],
          max_attempts: intercepted!["max_attempts"],
          flags: intercepted!["flags"],
          key: intercepted!["key"]
        })
      }))
  }

  for (const preserves of [true, false]) {
    live(
      `addJobs ${preserves ? "preserves" : "replaces"} the time of a job with the same key, as configured`,
      (utils) =>
        Effect.gen(function*() {
          const runAt = new Date("2100-01-01")
          yield* Effect.promise(() => utils.addJob("receipt", {}, { jobKey: "order 1", runAt }))
          yield* GraphileWorker.intercept(utils)
          const later = {
            identifier: "receipt",
            payload: { order: 1 },
            jobKey: "order 1",
            runAt: new Date("2200-01-01")
          }
          yield* Effect.promise(() => utils.addJobs([later], preserves)).pipe(Airlock.scoped)
          const jobs = yield* query<{ readonly run_at: Date }>("SELECT run_at FROM graphile_worker.jobs")
          expect(jobs.map(({ run_at: runAt }) => runAt)).toEqual([preserves ? runAt : later.runAt])
        })
    )
  }

  live(
    "jobs of one addJobs are intents of their own, and those of other names go directly",
    (utils) =>
      Effect.gen(function*() {
        yield* GraphileWorker.intercept(utils, { names: ["receipt"] })
        const specs = ["receipt", "invoice", "receipt"].map((identifier) => ({ identifier, payload: {} }))
        yield* Effect.gen(function*() {
          const added = yield* Effect.promise(() => utils.addJobs(specs))
          expect(added.map((job) => job.task_identifier)).toEqual(["receipt", "invoice", "receipt"])
          expect((yield* Airlock.intents).map(({ id }) => id)).toEqual([added[0]?.id, added[2]?.id])
          expect((yield* rows).map((row) => row.task_identifier)).toEqual(["invoice"])
        }).pipe(Airlock.scoped)
        expect((yield* rows).length).toBe(3)
      })
  )

  live(
    "the helpers of a wrapped task add jobs in its scope, and keep their other members",
    (utils) =>
      Effect.gen(function*() {
        yield* GraphileWorker.intercept(utils)
        const seen: Array<unknown> = []
        const task: Task = async (payload, { addJob, addJobs, job, query }) => {
          await addJob("followUp", payload)
          await addJobs([{ identifier: "followUp", payload }])
          seen.push(job.task_identifier, (await query("SELECT 1 AS one")).rows)
          if ((payload as { readonly order: number }).order === 1) {
            throw new Error("no paper")
          }
        }
        const wrapped = yield* GraphileWorker.wrapTask(utils, task)
        const runner = yield* Effect.acquireRelease(
          Effect.promise(() =>
            run({ connectionString: url(), taskList: { receipt: wrapped }, noHandleSignals: true, logger })
          ),
          (runner) => Effect.promise(() => runner.stop())
        )
        const failed = new Promise((resolve) => runner.events.once("job:error", resolve))
        yield* Effect.promise(() => GraphileWorker.direct(utils).addJob("receipt", { order: 1 }))
        yield* Effect.promise(() => failed)
        const followUps = Effect.map(rows, (rows) => rows.filter(({ task_identifier: name }) => name === "followUp"))
        expect(yield* followUps).toEqual([])
        yield* Effect.promise(() => GraphileWorker.direct(utils).addJob("receipt", { order: 2 }))
        yield* until(Effect.map(followUps, ({ length }) => length === 2))
        expect((yield* followUps).map(({ payload }) => payload)).toEqual([{ order: 2 }, { order: 2 }])
        expect(seen).toEqual(["receipt", [{ one: 1 }], "receipt", [{ one: 1 }]])
      })
  )

  live("the scope of a batch job waits for all of its Promises", (utils) =>
    Effect.gen(function*() {
      yield* GraphileWorker.intercept(utils)
      const task: Task = (payload, { addJob }) =>
        (payload as ReadonlyArray<number>).map(async (part) => {
          await new Promise((resolve) => setImmediate(resolve))
          await addJob("followUp", { part })
        })
      const wrapped = yield* GraphileWorker.wrapTask(utils, task)
      yield* Effect.acquireRelease(
        Effect.promise(() =>
          run({ connectionString: url(), taskList: { receipt: wrapped }, noHandleSignals: true, logger })
        ),
        (runner) => Effect.promise(() => runner.stop())
      )
      yield* Effect.promise(() => GraphileWorker.direct(utils).addJob("receipt", [1, 2]))
      // The job itself is a row until it has ended.
      const followUps = Effect.map(
        rows,
        (rows) => rows.flatMap(({ payload }) => Array.isArray(payload) ? [] : [payload])
      )
      yield* until(Effect.map(followUps, (payloads) => payloads.length === 2))
      expect(yield* followUps).toEqual([{ part: 1 }, { part: 2 }])
    }))
})
