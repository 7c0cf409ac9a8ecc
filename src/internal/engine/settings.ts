/**
 * The settings of an executor that `Airlock.layerConfig` chooses by its name.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as Record from "effect/Record"

/** Reads those settings under a name that the configuration has: `{ url: Config.string("URL") }` as `BULLMQ_URL`. @internal */
export const settingsUnder = <const Configs extends Readonly<Record<string, Config.Config<unknown>>>>(
  name: string,
  configs: Configs
): Config.Config<{ readonly [Name in keyof Configs]?: Config.Config.Success<Configs[Name]> }> =>
  Config.nested(
    Config.map(
      Config.all(Record.map(configs, Config.option)),
      // Each name has the value of its own Config.
      (read) => Record.getSomes(read) as { readonly [Name in keyof Configs]?: Config.Config.Success<Configs[Name]> }
    ),
    name
  )
