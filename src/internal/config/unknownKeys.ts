/**
 * Refuses configuration keys under the prefix that no setting reads: a misspelt limit must not silently have its default.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import { keys } from "./settings.js"

/** Fails if there are unknown keys. The error names them, without their values. `given` are the keys that were read. @internal */
export const refuseUnknownKeys = (
  prefix: string,
  given: ReadonlyArray<string>
): Effect.Effect<void, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    const provider = yield* Effect.configProviderWith(Effect.succeed)
    const nameOf = (key: string) => nameIn(provider, Config.nested(Config.string(key), prefix))
    const readAs = new Set(yield* Effect.forEach(given, nameOf))
    const base = yield* nameIn(provider, Config.string(prefix))
    const unknown = (yield* pathsUnder(provider, base, [])).filter((path) => !readAs.has(asName(path)))
    if (unknown.length > 0) {
      const message = `Expected one of these keys, written like this: ${keys.join(", ")}`
      return yield* Effect.fail(
        unknown.map((path) => ConfigError.InvalidData([...path], message)).reduce(ConfigError.And)
      )
    }
  })

/**
 * The name of a key in a provider, which may nest it or change its case. To find the name, the key is loaded from a copy of the
 * provider that returns the path of each key as its value.
 */
const nameIn = (provider: ConfigProvider.ConfigProvider, key: Config.Config<string>) =>
  ConfigProvider.fromFlat(ConfigProvider.makeFlat({
    ...provider.flattened,
    load: (path, primitive) => Effect.map(primitive.parse(asName(path)), (name) => [name])
  })).load(key)

/** One spelling for all providers: each splits a name at other places, the environment's provider at each `_`. */
const asName = (path: ReadonlyArray<string>): string =>
  path.filter((part) => !isIndex(part)).join("_").replaceAll(/[^A-Za-z0-9]+/g, "_").toUpperCase()

const isIndex = (part: string): boolean => /^\[\d+\]$/.test(part)

/** The paths of all values whose name begins with `base` and has more parts. */
const pathsUnder = (
  provider: ConfigProvider.ConfigProvider,
  base: string,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<ReadonlyArray<string>>, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    const children = [...(yield* provider.flattened.enumerateChildren(path))].filter((part) => !isIndex(part)).sort()
    const found: Array<ReadonlyArray<string>> = []
    for (const child of children) {
      const at = [...path, child]
      const name = asName(at)
      if (base === name || base.startsWith(`${name}_`) || name.startsWith(`${base}_`)) {
        found.push(...yield* pathsUnder(provider, base, at))
      }
    }
    const isUnder = asName(path).startsWith(`${base}_`)
    return isUnder && (children.length === 0 || (yield* hasValue(provider, path))) ? [path, ...found] : found
  })

const hasValue = ({ flattened }: ConfigProvider.ConfigProvider, path: ReadonlyArray<string>) => {
  const unpatched = ConfigProvider.fromFlat(ConfigProvider.makeFlat({ ...flattened, patch: { _tag: "Empty" } }))
  const value = path.reduceRight((config, part) => Config.nested(config, part), Config.string())
  return Effect.isSuccess(unpatched.load(value))
}
