/**
 * Two runners of a cluster, each a process of its own, and a third process that hands intents over.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import * as Workflow from "effect-airlock/executors/Workflow"
import { clearWorkflows, socketClientAt, storedWorkflows } from "../support/cluster.js"
import { describeOn, ownDatabase, postgres } from "../support/servers.js"
import { Job } from "../support/workflowJobs.js"
import { effects, startRunner, untilShared, untilStored } from "../support/workflowRunners.js"

describeOn(postgres, "@effect/workflow on two runners", () => {
  const url = ownDatabase(postgres)
  const count = 60
  const numbers = Array.from({ length: count }, (_, n) => n)

  /** Starts two runners, hands jobs over, and waits until the first runner has three handlers that do not end. */
  const twoRunners = Effect.gen(function*() {
    const sql = yield* SqlClient
    yield* sql`DROP TABLE IF EXISTS effects`
    yield* sql`CREATE TABLE effects (n INT, runner TEXT, attempt INT)`
    yield* clearWorkflows
    const common = { database: url().href, concurrency: 3 }
    const first = yield* startRunner({ ...common, name: "first", holdAfter: 2 })
    const second = yield* startRunner({ ...common, name: "second" })
    yield* untilShared(2)
    yield* Effect.forEach(numbers, (n) => Airlock.enqueue(Job, { n })).pipe(
      Airlock.scoped,
      Effect.provide(AirlockLive.pipe(Layer.provide(Workflow.layer())))
    )
    yield* first.untilTold("effect", 5)
    // Most often three. A busy machine can let the first runner lose a shard, whose handlers are interrupted.
    const held = numbers.filter((n) => first.numbers("begin").includes(n) && !first.numbers("end").includes(n))
    expect(held.length).toBeGreaterThanOrEqual(3)
    return { first, second, held }
  })

  const untilComplete = untilStored(
    Effect.map(storedWorkflows, (workflows) => workflows.every(({ result }) => result !== undefined))
  )

  const onCluster = <A, E>(test: Effect.Effect<A, E, Layer.Layer.Success<ReturnType<typeof socketClientAt>>>) =>
    Effect.provide(test, Layer.unwrapEffect(Effect.sync(() => socketClientAt(url().href))))

  const ends = [
    { what: "is killed", signal: "SIGKILL", code: null },
    { what: "is stopped, and has handlers that do not end", signal: "SIGTERM", code: 0 }
  ] as const
  for (const { code, signal, what } of ends) {
    it.scopedLive(
      `completes all workflows, and loses none, when one of two runners ${what}`,
      () =>
        onCluster(
          Effect.gen(function*() {
            const { first, held, second } = yield* twoRunners
            yield* first.signal(signal)
            expect(yield* first.exited).toBe(code)
            if (signal === "SIGTERM") {
              expect(first.numbers("interrupted")).toEqual(expect.arrayContaining(held))
            }
            yield* untilComplete
            const workflows = yield* storedWorkflows
            expect(workflows.length).toBe(count)
            expect(workflows.filter(({ result }) => result.exit._tag !== "Success")).toEqual([])
            const rows = yield* effects
            expect([...new Set(rows.map(({ n }) => n))]).toEqual(numbers)
            // The handlers that had not ended ran again, as the same attempt, and no others.
            const twice = numbers.filter((n) => rows.filter((row) => row.n === n).length > 1)
            const interrupted = new Set([...first.numbers("interrupted"), ...second.numbers("interrupted")])
            expect(twice).toEqual(expect.arrayContaining(held))
            expect(twice.filter((n) => !held.includes(n) && !interrupted.has(n))).toEqual([])
            expect(held.every((n) => second.numbers("end").includes(n))).toBe(true)
            expect(rows.filter(({ attempt }) => attempt !== 1)).toEqual([])
          }).pipe(Effect.scoped)
        ),
      120_000
    )
  }
})
