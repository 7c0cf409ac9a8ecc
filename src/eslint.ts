/**
 * A plugin for ESLint 9 and later, and for oxlint: rules for code that uses Airlock. See docs/lint.md.
 *
 * @since 0.1.0
 */
import { noDirectDispatch } from "./internal/lint/noDirectDispatch.js"
import { noEnqueueInPolicy } from "./internal/lint/noEnqueueInPolicy.js"
import { noEnqueueInRetry } from "./internal/lint/noEnqueueInRetry.js"
import { noFloatingEnqueue } from "./internal/lint/noFloatingEnqueue.js"

/**
 * The names of the rules.
 *
 * @since 0.1.0
 * @category models
 */
export type RuleName = "no-direct-dispatch" | "no-enqueue-in-policy" | "no-enqueue-in-retry" | "no-floating-enqueue"

/**
 * A rule.
 *
 * @since 0.1.0
 * @category models
 */
export interface AirlockRule {
  readonly meta: {
    readonly type: "problem"
    readonly docs: { readonly description: string, readonly url: string, readonly recommended: true }
    readonly messages: Record<string, string>
    readonly schema: Array<Record<string, unknown>>
    readonly defaultOptions: Array<unknown>
    readonly hasSuggestions: boolean
  }
  // The linter calls it with its own context. ESLint's type of the result is the same.
  create(context: object): Record<string, (...nodes: Array<any>) => void>
}

/**
 * The plugin. Its parts have the types of ESLint's `ESLint.Plugin` and `Linter.Config`.
 *
 * @since 0.1.0
 * @category models
 */
export interface AirlockPlugin {
  readonly meta: { readonly name: string, readonly version: string, readonly namespace: string }
  readonly rules: Record<RuleName, AirlockRule>
  readonly configs: {
    /** All rules as errors, with their default options. */
    readonly recommended: {
      readonly name: string
      readonly plugins: { "effect-airlock": AirlockPlugin }
      readonly rules: Record<`effect-airlock/${RuleName}`, "error">
    }
  }
}

const meta = { name: "effect-airlock", version: "0.1.0", namespace: "effect-airlock" }

const rules: AirlockPlugin["rules"] = {
  "no-direct-dispatch": noDirectDispatch,
  "no-enqueue-in-policy": noEnqueueInPolicy,
  "no-enqueue-in-retry": noEnqueueInRetry,
  "no-floating-enqueue": noFloatingEnqueue
}

/**
 * The plugin, for `eslint.config.js`:
 *
 * ```js
 * import airlock from "effect-airlock/eslint"
 *
 * export default [airlock.configs.recommended]
 * ```
 *
 * @since 0.1.0
 * @category plugin
 */
const plugin: AirlockPlugin = {
  meta,
  rules,
  configs: {
    recommended: {
      name: "effect-airlock/recommended",
      // The plugin itself: a configuration that registers it too must register the same object.
      plugins: {
        get "effect-airlock"() {
          return plugin
        }
      },
      rules: {
        "effect-airlock/no-direct-dispatch": "error",
        "effect-airlock/no-enqueue-in-policy": "error",
        "effect-airlock/no-enqueue-in-retry": "error",
        "effect-airlock/no-floating-enqueue": "error"
      }
    }
  }
}

export default plugin
