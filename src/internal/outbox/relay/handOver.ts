/**
 * Hands the rows of a relay over to an executor, a batch in one call. To the relay it looks like handlers, so that claims, leases,
 * acknowledgements and the shutdown are the same.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Intent } from "../../../Intent.js"
import { capabilitiesOf, type Capability, type Executor, type Handlers, type Outcome } from "../../contract/executor.js"
import { dispatchTo, type Undispatched } from "../../scope/dispatch.js"
import { signalOf } from "../signal.js"
import type { RelayHandlers, RunSource } from "./handlers.js"
import type { Outage } from "./outage.js"
import * as report from "./report.js"

/** @internal */
export interface HandOverOptions {
  readonly executor: Executor
  /** The handlers of this process, which an executor gets with each batch. */
  readonly handlers: Handlers
  readonly outage: Outage
  /** The maximum number of intents of a batch. */
  readonly batchSize: number
  /** The time limit of a batch. */
  readonly limit: Duration.Duration
}

/** @internal */
export const handOver = ({ batchSize, executor, handlers, limit, outage }: HandOverOptions): RelayHandlers => {
  /** The options that the executor does not carry out, and that were warned of. */
  const warned = new Set<Capability>()

  /** Hands the next run over. Returns `false` if there is none. */
  const batch = (source: RunSource): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const run = source.next()
      if (run === undefined) {
        return Effect.succeed(false)
      }
      const { count } = outage
      const dispatched = dispatchTo(executor, run.intents, handlers, { limit, interruptible: true })
      return Effect.flatMap(dispatched, (undispatched) => {
        if (takesNothing(run.intents, undispatched)) {
          const millis = source.refused(run) ? outage.begin(count) : undefined
          return Effect.as(
            millis === undefined
              ? Effect.void
              : report.engineDown(executor.name, run.intents.length, millis, undispatched[0]!.reason),
            true
          )
        }
        outage.over()
        source.ended(run, outcomesOf(run.intents, undispatched))
        return Effect.as(report.optionsIgnored(executor.name, newlyIgnored(executor, run.intents, warned)), true)
      })
    })

  return {
    names: [],
    task: () => undefined,
    maxBatch: () => batchSize,
    mixesTasks: true,
    // An interruption ends the batch, whose outcomes count if it still returns them.
    work: (source) =>
      Effect.uninterruptible(Effect.suspend(() => {
        let hasMore = true
        return Effect.whileLoop({
          while: () => hasMore,
          body: () => batch(source),
          step: (began) => {
            hasMore = began
          }
        })
      }))
  }
}

/** If the engine is down, no row can be handed over. An intent that it refuses for good says that it is there. */
const takesNothing = (intents: ReadonlyArray<Intent>, undispatched: ReadonlyArray<Undispatched>): boolean =>
  undispatched.length === intents.length &&
  undispatched.every(({ reason }) => signalOf(Cause.fail(reason))?._tag !== "Discard")

const outcomesOf = (
  intents: ReadonlyArray<Intent>,
  undispatched: ReadonlyArray<Undispatched>
): ReadonlyArray<Outcome> => {
  const outcomes: Array<Outcome> = intents.map(() => Exit.void)
  for (const { index, reason } of undispatched) {
    outcomes[index] = Exit.fail(reason)
  }
  return outcomes
}

/** The options that matter after the hand-over. The outbox has carried out the others. */
const lasting: ReadonlyArray<Capability> = ["queue", "dedupeKey", "orderingKey", "maxAttempts", "native"]

const newlyIgnored = (
  executor: Executor,
  intents: ReadonlyArray<Intent>,
  warned: Set<Capability>
): ReadonlyArray<Capability> => {
  const found: Array<Capability> = []
  for (const intent of intents) {
    for (const option of lasting) {
      if (intent.options[option] !== undefined && !warned.has(option) && !isAble(executor, intent, option)) {
        warned.add(option)
        found.push(option)
      }
    }
  }
  return found
}

const isAble = (executor: Executor, intent: Intent, option: Capability): boolean => {
  try {
    return capabilitiesOf(executor, intent).includes(option)
  } catch {
    // A function of the application threw. The intent was handed over all the same.
    return true
  }
}
