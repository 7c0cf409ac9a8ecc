/**
 * How jobs are added to a queue of BullMQ, for {@link intercept}.
 */
import { Job, type JobsOptions, type Queue } from "bullmq"
import { withoutCommands } from "../bullMqConnections.js"
import type { DirectEngine, DirectJob, Originals } from "./intercept.js"
import { snapshot } from "./json.js"

interface QueuedJob {
  readonly name: string
  readonly data?: unknown
  /** BullMQ takes `null` for none. */
  readonly opts?: JobsOptions | null | undefined
}

/** @internal */
export const bullMqEngine = (queue: Queue): DirectEngine => ({
  name: "BullMQ",
  direct: "BullMq.direct(queue)",
  prefix: queue.name,
  methods: {
    add: ({ add }, [name, data, opts]) => ({
      names: [name],
      jobs: () => [jobOf(queue, { name, data, opts })],
      pass: async () => [await add!(name, data, opts)],
      result: ([job]) => job
    }),
    addBulk: ({ addBulk }, [jobs]) =>
      Array.isArray(jobs)
        ? {
          names: jobs.map(({ name }: QueuedJob) => name),
          jobs: () => jobs.map((job: QueuedJob) => jobOf(queue, job)),
          pass: (indices) => addBulk!(indices.map((index) => jobs[index])),
          result: (added) => added
        }
        : undefined
  },
  perform
})

const jobOf = (queue: Queue, { data, name, opts: given }: QueuedJob): DirectJob => {
  const opts = given ?? {}
  const makeJob = (jobId?: string): Job => {
    const jobOpts = { ...queue.jobsOpts, ...opts, ...(jobId !== undefined && { jobId: opts.jobId ?? jobId }) }
    return new Job(queue, name, data, jobOpts, jobOpts.jobId)
  }
  // Later there is nobody to tell. The options of a repeated job are not those of the jobs that it makes.
  if (opts.repeat === undefined) {
    const job = makeJob()
    job["validateOptions"](job.asJSON())
  }
  return {
    // A child has to be there when its parent begins to wait for it.
    stored: opts.parent === undefined ? snapshot({ name, data, opts: timed(opts) }) : undefined,
    answer: makeJob
  }
}

/** BullMQ counts a delay from the job's timestamp. */
const timed = (opts: JobsOptions): JobsOptions => opts.repeat === undefined ? { timestamp: Date.now(), ...opts } : opts

const perform = async (
  originals: Originals,
  { data, name, opts }: Required<QueuedJob>,
  id: string
): Promise<unknown> => {
  try {
    // The id of a repeated job is part of its key.
    return await originals["add"]!(
      name,
      data,
      opts?.repeat === undefined ? { ...opts, jobId: opts?.jobId ?? id } : opts
    )
  } catch (error) {
    throw withoutCommands(error)
  }
}
