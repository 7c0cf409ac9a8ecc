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
        jobs: [{
          name: `publish:${event}`,
          stored: isOwnTransaction(options) ? undefined : snapshot<Stored>({ publish: { event, data, options } }),
          answer: () => undefined
        }],
        pass: async () => [await publish!(...args)],
        result: () => undefined
      }
    },
    insert: ({ insert }, [jobs, options]) =>
      !Array.isArray(jobs) || jobs.some((job) => typeof job?.name !== "string") ? undefined : {
        jobs: jobs.map((job: Boss.JobInsert): DirectJob => ({
          name: job.name,
          stored: isOwnTransaction(options) ? undefined : snapshot<Stored>({ insert: job }),
          answer: (id) => job.id ?? id
        })),
        pass: async (indices) => (await insert!(indices.map((index) => jobs[index]), options)) ?? [],
        result: (ids) => ids
      }
  },
  perform: async (originals, stored: Stored, id, waited) => {
    if ("insert" in stored) {
      return originals["insert"]!([{ id, ...stored.insert }])
    }
    const { data, options } = "send" in stored ? stored.send : stored.publish
    // With an id, a job that was added before is not added again.
    const identified = { id, ...remaining(options, waited) }
    return "send" in stored
      ? originals["send"]!(stored.send.name, data, identified)
      : originals["publish"]!(stored.publish.event, data, identified)
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
    jobs: [{
      name,
      stored: isOwnTransaction(options) ? undefined : snapshot<Stored>({
        send: { name, options: options ?? {}, ...(data !== undefined && { data }) }
      }),
      answer: (id) => options?.id ?? id
    }],
    pass: async () => [await pass()],
    result: ([id]) => id
  }

/** It is in the transaction of the caller, or on a connection of the caller: an intent can have neither. */
const isOwnTransaction = (options: { readonly db?: unknown } | undefined): boolean => options?.db !== undefined

/** pg-boss counts seconds from the time when it gets the job, and the caller counted them from the call. */
const remaining = (options: Boss.SendOptions, waited: number): Boss.SendOptions =>
  typeof options.startAfter === "number"
    ? { ...options, startAfter: Math.max(0, options.startAfter - waited / 1000) }
    : options
