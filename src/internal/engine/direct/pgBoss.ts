/**
 * How jobs are added to pg-boss, for {@link intercept}.
 */
import type Boss from "pg-boss"
import type { DirectCall, DirectEngine, DirectJob } from "./intercept.js"
import { snapshot } from "./json.js"

/** What an intent stores of a job. */
type Stored =
  | { readonly send: { readonly name: string, readonly data?: object, readonly options: Boss.SendOptions } }
  | { readonly publish: { readonly event: string, readonly data?: object, readonly options: Boss.SendOptions } }
  | { readonly insert: Boss.JobInsert }

/** @internal */
export const pgBossEngine: DirectEngine = {
  name: "pg-boss",
  direct: "PgBoss.direct(boss)",
  prefix: "pg-boss",
  methods: {
    send: ({ send }, args) => {
      const [first, data, options] = args
      return typeof first === "string"
        ? sent(() => send!(...args), first, data, options)
        : args.length === 1
        ? sent(() => send!(first), first?.name, first?.data, first?.options)
        : undefined
    },
    sendAfter: ({ sendAfter }, args) => {
      const [name, data, options, startAfter] = args
      return sent(() => sendAfter!(...args), name, data, { ...options, startAfter })
    },
    sendThrottled: ({ sendThrottled }, args) => {
      const [name, data, options, singletonSeconds, singletonKey] = args
      const throttled = { singletonSeconds, singletonNextSlot: false, singletonKey }
      return sent(() => sendThrottled!(...args), name, data, { ...options, ...throttled })
    },
    sendDebounced: ({ sendDebounced }, args) => {
      const [name, data, options, singletonSeconds, singletonKey] = args
      const debounced = { singletonSeconds, singletonNextSlot: true, singletonKey }
      return sent(() => sendDebounced!(...args), name, data, { ...options, ...debounced })
    },
    publish: ({ publish }, args) => {
      const [event, data, options = {}] = args
      return typeof event !== "string" ? undefined : {
        names: [`publish:${event}`],
        jobs: () => [{
          stored: stored(options, { publish: { event, data, options } }),
          answer: () => undefined
        }],
        pass: async () => [await publish!(...args)],
        result: () => undefined
      }
    },
    insert: ({ insert }, [jobs, options]) =>
      !Array.isArray(jobs) || jobs.some((job) => typeof job?.name !== "string") ? undefined : {
        names: jobs.map(({ name }: Boss.JobInsert) => name),
        jobs: () =>
          jobs.map((job: Boss.JobInsert): DirectJob => ({
            stored: stored(options, { insert: job }),
            answer: (id) => job.id ?? id
          })),
        pass: async (indices) => (await insert!(indices.map((index) => jobs[index]), options)) ?? [],
        result: (ids) => ids
      }
  },
  perform: async (originals, job: Stored, id, waited) => {
    if ("insert" in job) {
      return originals["insert"]!([{ id, ...job.insert }])
    }
    const { data, options } = "send" in job ? job.send : job.publish
    // With an id, a job that was added before is not added again.
    const identified = { id, ...remaining(options, waited) }
    return "send" in job
      ? originals["send"]!(job.send.name, data, identified)
      : originals["publish"]!(job.publish.event, data, identified)
  }
}

/** A call that adds one job, unless it makes no sense. */
const sent = (
  pass: () => Promise<unknown>,
  name: unknown,
  data: object | undefined,
  options: Boss.SendOptions | undefined
): DirectCall | undefined =>
  typeof name !== "string" || name === "" || typeof data === "function" ? undefined : {
    names: [name],
    jobs: () => [{
      stored: stored(options, { send: { name, options: options ?? {}, ...(data !== undefined && { data }) } }),
      answer: (id) => options?.id ?? id
    }],
    pass: async () => [await pass()],
    result: ([id]) => id
  }

const stored = (options: { readonly db?: unknown } | undefined, job: Stored): unknown =>
  isOwnTransaction(options) ? undefined : snapshot(job)

/** It is in the transaction of the caller, or on a connection of the caller: an intent can have neither. */
const isOwnTransaction = (options: { readonly db?: unknown } | undefined): boolean => options?.db !== undefined

/** pg-boss counts seconds from the time when it gets the job, and the caller counted them from the call. */
const remaining = (options: Boss.SendOptions, waited: number): Boss.SendOptions =>
  typeof options.startAfter === "number"
    ? { ...options, startAfter: Math.max(0, options.startAfter - waited / 1000) }
    : options
