/**
 * The Airlocks and the outboxes that are alive in this process. They show wiring that would lose durability in silence: an
 * outbox that no Airlock uses, two Airlocks whose executors differ, and a handler that another Airlock has.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import type * as EffectScope from "effect/Scope"
import type { AirlockService } from "../contract/airlock.js"
import type { Executor, Handlers } from "../contract/executor.js"

interface WiredOutbox {
  readonly table: string
  /** Identifies the outbox, also inside a combinator or a background executor, which pass it on. */
  readonly isDurable: Executor["isDurable"]
}

const wiring = globalValue(Symbol.for("effect-airlock/wiring"), () => ({
  /** The Airlocks, each with the names of the other executors of which it was told. */
  airlocks: new Map<AirlockService, Set<string>>(),
  unusedOutboxes: new Set<WiredOutbox>()
}))

/** The outboxes of which it is not known yet that anything uses them. @internal */
export const unusedOutboxes: ReadonlySet<WiredOutbox> = wiring.unusedOutboxes

/** The name of the executors of `AirlockTest`. An Airlock with such an executor may stand beside any other. @internal */
export const testExecutor = "AirlockTest"

/** Registers an Airlock while its Layer lives, and warns once of each pair of executors that differ. @internal */
export const registerAirlock = (airlock: AirlockService): Effect.Effect<void, never, EffectScope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const { executor } = airlock
      useOutboxes(executor)
      const others = executor.name === testExecutor
        ? []
        : [...wiring.airlocks].filter(([{ executor: other }]) => differ(executor, other))
      const names = new Set(others.map(([{ executor }]) => executor.name))
      const told = new Set(
        others.filter(([, told]) => told.has(executor.name)).map(([{ executor }]) => executor.name)
      )
      for (const [, told] of others) {
        told.add(executor.name)
      }
      wiring.airlocks.set(airlock, names)
      return Effect.forEach(names, (name) => told.has(name) ? Effect.void : warnOfTwo(executor.name, name), {
        discard: true
      })
    }),
    () => Effect.sync(() => wiring.airlocks.delete(airlock))
  )

const differ = (executor: Executor, other: Executor): boolean =>
  other.name !== testExecutor && (executor.name !== other.name || executor.durable !== other.durable)

const warnOfTwo = (executor: string, other: string): Effect.Effect<void> =>
  Effect.logWarning(
    `This process has two Airlocks whose executors differ: "${other}" and "${executor}". The handlers of one do ` +
      "not run the intents of the other, and intents of the wrong one may not be durable. " +
      "Provide one Airlock to the whole application: with an outbox, one constant that Outbox.live() returns, and no AirlockLive."
  )

/** Registers an outbox while its Layer lives. @internal */
export const registerOutbox = (outbox: WiredOutbox): Effect.Effect<void, never, EffectScope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => wiring.unusedOutboxes.add(outbox)),
    () => Effect.sync(() => wiring.unusedOutboxes.delete(outbox))
  )

/** An executor of which it is not known whether it is durable, such as a route, may use every outbox. */
const mayUse = (executor: Executor, outbox: WiredOutbox): boolean =>
  executor.durable === undefined || executor.isDurable === outbox.isDurable

const useOutboxes = (executor: Executor): void => {
  for (const outbox of wiring.unusedOutboxes) {
    if (mayUse(executor, outbox)) {
      wiring.unusedOutboxes.delete(outbox)
    }
  }
}

/**
 * An intent was enqueued for an executor. The Layers of the application have been built, so an outbox that is not used now
 * has no effect: warns of each, once.
 *
 * @internal
 */
export const reportUnusedOutboxes = (executor: Executor): Effect.Effect<void> =>
  Effect.suspend(() => {
    useOutboxes(executor)
    const unused = [...wiring.unusedOutboxes]
    wiring.unusedOutboxes.clear()
    return Effect.forEach(unused, ({ table }) =>
      Effect.logWarning(
        `No Airlock uses the outbox "${table}". An intent goes to the executor "${executor.name}" instead, and may be lost if ` +
          "this process dies. Provide Outbox.live() in place of AirlockLive and Outbox.layer, and no other Airlock."
      ), { discard: true })
  })

/** The executor of another Airlock that has a handler for a task. @internal */
export const executorOfOtherAirlock = (handlers: Pick<Handlers, "names">, task: string): string | undefined => {
  for (const [airlock] of wiring.airlocks) {
    if (airlock.handlers !== handlers && airlock.handlers.task(task) !== undefined) {
      return airlock.executor.name
    }
  }
  return undefined
}
