/**
 * The options of the relay, their defaults, and the checks of their ranges. The public names stand in `Outbox`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Executor } from "../../contract/executor.js"
import type { PayloadCodec } from "../codec.js"

/**
 * The options of `Outbox.relay`. Values out of range are refused with a `RangeError` that names the option.
 *
 * @since 0.1.0
 * @category options
 */
export interface RelayOptions {
  /** The name of the table. It may have a schema (`shop.outbox`). Default: `airlock_outbox`. */
  readonly table?: string
  /** The name of this relay in logs, in `Outbox.stats` and in the history of attempts. Default: the id of the process. */
  readonly name?: string
  /**
   * The executor to which the relay hands intents over, in place of running their handlers: `BullMq.executor`, for example. It has
   * to be durable. Default: none.
   */
  readonly executor?: Executor
  /**
   * How many handlers run at a time, or with an `executor` how many batches are handed over at a time: with more than one, they
   * can overtake each other. Default: the sum of `queues`, or 10; with an `executor` 1.
   */
  readonly concurrency?: number
  /**
   * How many handlers of each queue run at a time. `"*"` stands for all queues that are not named, together; without it, the
   * relay serves only the named ones. An intent without a queue is in the queue `default`. Default: all queues together.
   */
  readonly queues?: Readonly<Record<string, number>>
  /**
   * The names of the tasks that the relay runs. Default: all tasks that have a handler in this process; with an `executor` all
   * tasks.
   */
  readonly tasks?: ReadonlyArray<string>
  /** The maximum number of rows of one claim, and of one batch for an `executor`. Default: 500. */
  readonly batchSize?: number
  /** The maximum size of the payloads that the relay holds at a time, in bytes. The last payload may exceed it. Default: 16 MiB. */
  readonly maxBytes?: number
  /**
   * The lease of the relay: if it is not renewed for this time, because the process died or was cut off from the database, other
   * relays take over what the relay had claimed. Default: 30 seconds.
   */
  readonly lease?: Duration.DurationInput
  /** How often the relay looks for rows while nothing notifies it. Default: 1 second. */
  readonly pollInterval?: Duration.DurationInput
  /**
   * After how many failed attempts an intent is a dead letter, unless it or its task says otherwise. With an `executor` these are
   * attempts to hand it over, and what the intent says is for the engine. Default: 25; with an `executor` no limit.
   */
  readonly maxAttempts?: number
  /**
   * The time limit of one run of a handler, unless its task has one of its own. A handler that exceeds it is interrupted, and its
   * attempt has failed. With an `executor` it is the time limit of a batch. Default: 15 minutes; with an `executor` 1 minute.
   */
  readonly timeout?: Duration.DurationInput
  /** The time that running handlers have to end when the Layer closes. Then they are interrupted. Default: 10 seconds. */
  readonly drainTimeout?: Duration.DurationInput
  /**
   * How long the rows of intents that have run stay in the table, in the state `done`. The relay deletes older ones in small
   * batches. Default: they are deleted at once.
   */
  readonly keepDone?: Duration.DurationInput
  /**
   * How old a ready row has to be before the relay warns that no live relay can run it, because none has a handler for its task
   * or knows its version. It warns once an hour for each task. Default: 5 minutes.
   */
  readonly unroutableAfter?: Duration.DurationInput
  /** The codec of the outbox that wrote the rows: see `Outbox.PayloadCodec`. Default: none. */
  readonly codec?: PayloadCodec
}

/** @internal */
export interface RelaySettings {
  /** Whether the relay hands rows over to an executor. */
  readonly handsOver: boolean
  readonly name: string
  readonly concurrency: number
  readonly queues: ReadonlyMap<string, number>
  readonly tasks: ReadonlySet<string> | undefined
  readonly batchSize: number
  readonly maxBytes: number
  readonly lease: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly maxAttempts: number
  readonly timeout: Duration.Duration
  readonly drainTimeout: Duration.Duration
  readonly keepDone: Duration.Duration | undefined
  readonly unroutableAfter: Duration.Duration
}

/** The key of the queues that are not named. @internal */
export const anyQueue = "*"

const defaultConcurrency = 10

/** Throws a `RangeError` if an option is out of range. @internal */
export const settingsOf = (options: RelayOptions): RelaySettings => {
  const given = options.concurrency === undefined ? undefined : countOf("concurrency", options.concurrency)
  const handsOver = options.executor !== undefined
  const concurrency = given ?? (handsOver ? 1 : defaultConcurrency)
  const queues = new Map(Object.entries(options.queues ?? { [anyQueue]: concurrency }))
  if (queues.size === 0) {
    throw new RangeError("Outbox.relay needs at least one queue in its option `queues`")
  }
  queues.forEach((limit, queue) => countOf(`queues["${queue}"]`, limit, 0))
  const sum = [...queues.values()].reduce((a, b) => a + b, 0)
  if (options.tasks?.length === 0) {
    throw new RangeError("Outbox.relay needs at least one task in its option `tasks`")
  }
  return {
    handsOver,
    name: options.name ?? defaultName(),
    concurrency: given ?? countOf("concurrency", sum),
    queues,
    tasks: options.tasks && new Set(options.tasks),
    batchSize: countOf("batchSize", options.batchSize ?? 500),
    maxBytes: countOf("maxBytes", options.maxBytes ?? 16 * 1024 * 1024),
    lease: finite("lease", timeOf("lease", options.lease ?? "30 seconds")),
    pollInterval: timeOf("pollInterval", options.pollInterval ?? "1 second"),
    maxAttempts: handsOver && options.maxAttempts === undefined
      ? Infinity
      : countOf("maxAttempts", options.maxAttempts ?? 25),
    timeout: timeOf("timeout", options.timeout ?? (handsOver ? "1 minute" : "15 minutes")),
    drainTimeout: timeOf("drainTimeout", options.drainTimeout ?? "10 seconds", 0),
    keepDone: options.keepDone === undefined ? undefined : timeOf("keepDone", options.keepDone),
    unroutableAfter: timeOf("unroutableAfter", options.unroutableAfter ?? "5 minutes")
  }
}

/** A relay without a handler would claim nothing, ever. It dies, so that the mistake is seen when the application starts. @internal */
export const checkHandlers = (
  names: ReadonlyArray<string>,
  { tasks }: Pick<RelaySettings, "tasks">
): Effect.Effect<void> => {
  const missing = tasks === undefined ? [] : [...tasks].filter((name) => !names.includes(name))
  return names.length === 0
    ? Effect.dieMessage(
      "Outbox.relay has no handler to run. Provide it the Layers of `task.toLayer`, and the same Airlock to both."
    )
    : missing.length > 0
    ? Effect.dieMessage(`Outbox.relay has no handler for these of its \`tasks\`: ${missing.join(", ")}`)
    : Effect.void
}

/** An executor in this process would lose what the relay has acknowledged. @internal */
export const checkExecutor = ({ durable, name }: Executor): Effect.Effect<void> =>
  durable === false
    ? Effect.dieMessage(
      `Outbox.relay cannot hand intents over to the executor "${name}", which does not store them. To run their handlers in this ` +
        "process, leave out the option `executor`."
    )
    : Effect.void

const countOf = (name: string, value: number, least = 1): number => {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(
      `Outbox.relay needs an integer of at least ${least} as its option \`${name}\`, and got ${value}`
    )
  }
  return value
}

const timeOf = (name: string, value: Duration.DurationInput, least = 1): Duration.Duration => {
  const time = Duration.decode(value)
  if (!(Duration.toMillis(time) >= least)) {
    throw new RangeError(
      `Outbox.relay needs a time of at least ${least} ms as its option \`${name}\`, and got ${Duration.format(time)}`
    )
  }
  return time
}

/** The database stores when the lease ends. */
const finite = (name: string, time: Duration.Duration): Duration.Duration => {
  if (!Duration.isFinite(time)) {
    throw new RangeError(`Outbox.relay needs a finite time as its option \`${name}\``)
  }
  return time
}

/** The core imports nothing of Node, and browsers have no processes. */
const defaultName = (): string => {
  const { process } = globalThis as typeof globalThis & { readonly process?: { readonly pid?: number } }
  return process?.pid === undefined ? "relay" : `process ${process.pid}`
}
