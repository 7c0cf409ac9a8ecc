/**
 * @since 0.1.0
 */
export * as Airlock from "./Airlock.js"
export { AirlockLive } from "./Airlock.js"
export * as AirlockError from "./AirlockError.js"
export * as AirlockMetrics from "./AirlockMetrics.js"
export { AirlockScope } from "./AirlockScope.js"
export type { Limits, ScopeOptions, ScopeState, ScopeView } from "./AirlockScope.js"
export * as AirlockTest from "./AirlockTest.js"
export * as Executor from "./Executor.js"
export * as HttpMiddleware from "./HttpMiddleware.js"
export * as Intent from "./Intent.js"
export * as Plan from "./Plan.js"
export * as Policy from "./Policy.js"
export * as Task from "./Task.js"
