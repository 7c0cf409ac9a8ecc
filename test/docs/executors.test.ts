/** The executor and the worker of docs/executors.md, as they stand there, in the suite of executors. */
import { Effect, type Layer } from "effect"
import type { Airlock, Executor } from "effect-airlock"
import type { EngineJob, StoredJob } from "effect-airlock/Engine"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { pageExample } from "../support/pageExample.js"

const memoryQueue = () => {
  const waiting: Array<EngineJob> = []
  const known = new Set<string>()
  let added = () => {}
  return {
    add: async (jobs: ReadonlyArray<StoredJob>) => {
      for (const job of jobs.filter(({ id }) => !known.has(id))) {
        known.add(job.id)
        // As an engine does, it keeps text.
        waiting.push({ ...JSON.parse(JSON.stringify(job)), attempt: 1 })
      }
      added()
    },
    consume: (run: (job: EngineJob) => Promise<unknown>) => {
      const state = { isOpen: true }
      const loop = async () => {
        while (state.isOpen) {
          const job = waiting.shift()
          if (job === undefined) {
            await new Promise<void>((resolve) => {
              added = resolve
            })
          } else {
            await run(job).then(
              (ended) => ended === "stopped" && waiting.unshift(job),
              () => waiting.push({ ...job, attempt: job.attempt + 1 })
            )
          }
        }
      }
      const ended = loop()
      return {
        close: () => {
          state.isOpen = false
          added()
          return ended
        }
      }
    }
  }
}

type Queue = ReturnType<typeof memoryQueue>

const { executorOf, workerOf } = await pageExample("docs/executors.md", "const workerOf", {}) as {
  readonly executorOf: (queue: Queue) => Executor.Executor
  readonly workerOf: (queue: Queue) => Layer.Layer<never, never, Airlock.Airlock>
}

ExecutorSuite.run(
  "of the docs",
  Effect.sync(() => {
    const queue = memoryQueue()
    return { executor: executorOf(queue), worker: workerOf(queue) }
  }),
  { without: ["connection"] }
)
