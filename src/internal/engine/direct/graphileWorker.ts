/**
 * How jobs are added to graphile-worker, for {@link intercept}.
 */
import type { AddJobsJobSpec, Job, TaskSpec } from "graphile-worker"
import type { DirectEngine, DirectJob } from "./intercept.js"
import { snapshot } from "./json.js"

/** What an intent stores of a job. */
interface Stored {
  readonly identifier: string
  readonly payload?: unknown
  readonly spec: Omit<TaskSpec, "runAt"> & { readonly runAt?: string }
}

/** @internal */
export const graphileEngine: DirectEngine = {
  name: "graphile-worker",
  direct: "GraphileWorker.direct(utils)",
  prefix: "graphile-worker",
  methods: {
    addJob: ({ addJob }, [identifier, payload, spec]) =>
      typeof identifier !== "string" ? undefined : {
        names: [identifier],
        jobs: () => [jobOf(identifier, payload, spec)],
        pass: async () => [await addJob!(identifier, payload, spec)],
        result: ([job]) => job
      },
    addJobs: ({ addJobs }, [jobs, preservesRunAt]) =>
      !Array.isArray(jobs) || jobs.some((job) => typeof job?.identifier !== "string") ? undefined : {
        names: jobs.map(({ identifier }: AddJobsJobSpec) => identifier),
        jobs: () =>
          jobs.map(({ identifier, payload, ...spec }: AddJobsJobSpec) =>
            jobOf(identifier, payload, preservesRunAt === true ? { ...spec, jobKeyMode: "preserve_run_at" } : spec)
          ),
        pass: (indices) => addJobs!(indices.map((index) => jobs[index]), preservesRunAt),
        result: (added) => added
      }
  },
  perform: async ({ addJob }, { identifier, payload, spec: { runAt, ...spec } }: Stored, id) =>
    addJob!(identifier, payload, {
      // With a key, a job that was added before and waits is not added again.
      ...(spec.jobKey === undefined && { jobKey: id, jobKeyMode: "unsafe_dedupe" }),
      ...spec,
      ...(runAt !== undefined && { runAt: new Date(runAt) })
    })
}

const jobOf = (identifier: string, payload: unknown, spec: TaskSpec = {}): DirectJob => ({
  stored: snapshot({ identifier, payload, spec }),
  answer: (id): Job => {
    const now = new Date()
    const runAt = spec.runAt ?? now
    return {
      id,
      task_identifier: identifier,
      payload: payload ?? {},
      key: spec.jobKey ?? id,
      priority: spec.priority ?? 0,
      run_at: runAt,
      attempts: 0,
      max_attempts: spec.maxAttempts ?? 25,
      last_error: null,
      created_at: now,
      updated_at: now,
      revision: 0,
      locked_at: null,
      locked_by: null,
      flags: spec.flags === undefined ? null : Object.fromEntries(spec.flags.map((flag) => [flag, true as const])),
      is_available: runAt <= now,
      // The database gives these numbers.
      job_queue_id: null,
      task_id: 0
    }
  }
})
