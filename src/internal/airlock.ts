import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type { Executor } from "../Executor.js"
import type { Policy } from "../Policy.js"
import type { HandlerRegistry } from "./handlers.js"

/**
 * What holds for all scopes of an application, and the handlers of its tasks.
 *
 * @since 0.1.0
 * @category services
 */
export interface AirlockService {
  readonly policy: Policy
  readonly executor: Executor
  readonly maxIntents: number
  readonly maxPayloadBytes: number
  readonly maxCascade: number
  readonly policyTimeout: Duration.Duration
  readonly approveTimeout: Duration.Duration
  readonly dispatchTimeout: Duration.Duration
  readonly shutdownTimeout: Duration.Duration
  /** @internal */
  readonly handlers: HandlerRegistry
}

/**
 * The service that an application provides once, by `AirlockLive` or `Airlock.layer`.
 *
 * @since 0.1.0
 * @category services
 */
export class Airlock extends Context.Tag("effect-airlock/Airlock")<Airlock, AirlockService>() {}
