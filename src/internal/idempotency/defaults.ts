/**
 * The options of an application, which the middleware finds in the context, and finds the settings of a request with.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type { IdempotencyOptions } from "./options.js"
import { type FindSettings, findSettings, type MiddlewareOptions } from "./routes.js"

const key = "effect-airlock/IdempotencyDefaults"

/** A context with the options of the application. @internal */
export const defaultsContext = (options: IdempotencyOptions): Context.Context<never> =>
  Context.unsafeMake(new Map([[key, options]]))

const none: IdempotencyOptions = {}

/**
 * Reads the options of a middleware, and throws if they contradict each other. Returns the settings by the defaults of a context.
 *
 * @internal
 */
export const settingsIn = (options: MiddlewareOptions): (context: Context.Context<never>) => FindSettings => {
  const byDefaults = new WeakMap<IdempotencyOptions, FindSettings>([[none, findSettings(options, none)]])
  return (context) => {
    const defaults: IdempotencyOptions = context.unsafeMap.get(key) ?? none
    const known = byDefaults.get(defaults)
    if (known !== undefined) {
      return known
    }
    const found = findSettings(options, defaults)
    byDefaults.set(defaults, found)
    return found
  }
}
