/**
 * The service that an application builds once: what holds for all of its scopes, and the handlers of its tasks.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type { Executor } from "../Executor.js"
import type { Policy } from "../Policy.js"
import type { HandlerRegistry } from "./handlers.js"

/** @internal */
export interface AirlockService {
  readonly policy: Policy
  readonly executor: Executor
  readonly maxIntents: number
  readonly policyTimeout: Duration.Duration
  readonly dispatchTimeout: Duration.Duration
  /** @internal */
  readonly handlers: HandlerRegistry
}

/** @internal */
export class Airlock extends Context.Tag("effect-airlock/Airlock")<Airlock, AirlockService>() {}
