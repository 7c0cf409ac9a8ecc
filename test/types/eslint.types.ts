/**
 * The plugin has the types that ESLint's configuration takes.
 */
import plugin from "effect-airlock/eslint"
import type { ESLint, Linter } from "eslint"
import { defineConfig } from "eslint/config"

export const asPlugin: ESLint.Plugin = plugin
export const asConfig: Linter.Config = plugin.configs.recommended
export const asRule: NonNullable<ESLint.Plugin["rules"]>[string] = plugin.rules["no-floating-enqueue"]

export default defineConfig([
  plugin.configs.recommended,
  { plugins: { "effect-airlock": plugin }, rules: { "effect-airlock/no-direct-dispatch": "off" } }
])
