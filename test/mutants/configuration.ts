/** Ways to break what `Airlock.layerConfig` refuses and sets. */
import type { Mutant } from "./mutants.js"

export const configuration: ReadonlyArray<Mutant> = [
  {
    breaks: "configuration: a key that nothing reads is the default in silence",
    file: "src/internal/config.ts",
    from: "if (unknown.length > 0) {",
    to: "if (unknown.length < 0) {"
  },
  {
    breaks: "configuration: a key in another case counts as read",
    file: "src/internal/config.ts",
    from: "Object.keys(given).map(keyOf)",
    to: "Object.keys(settings).map(keyOf)"
  },
  {
    breaks: "configuration: a value at a key that goes on is not seen",
    file: "src/internal/config.ts",
    from: "(children.length === 0 || (yield* hasValue(provider, path)))",
    to: "children.length === 0"
  },
  {
    breaks: "configuration: every object's own names are names of policies",
    file: "src/internal/config.ts",
    from: "Option.match(Record.get(known, name), {",
    to: "Option.match(Option.fromNullable(known[name]), {"
  },
  {
    breaks: "configuration: a setting of another executor is ignored",
    file: "src/internal/config.ts",
    from: "settings[name] !== undefined && !chosen?.takes.includes(name)",
    to: "settings[name] !== undefined && chosen === undefined"
  },
  {
    breaks: "configuration: what is blocked counts in a limit",
    file: "src/internal/config.ts",
    from: "policies.length > 1 ? Policy.all(...policies)",
    to: "policies.length > 1 ? Policy.all(...policies.reverse())"
  },
  {
    breaks: "configuration: a limit of zero",
    file: "src/internal/config.ts",
    from: "validation: (n) => n > 0",
    to: "validation: (n) => n >= 0"
  },
  {
    breaks: "configuration: a policy of the context is dropped where one is configured",
    file: "src/Airlock.ts",
    from: ": all(options.policy, policy),",
    to: ": options.policy,"
  }
]
