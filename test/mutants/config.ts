/** `Airlock.layerConfig`: what it sets, and what it refuses. */
import { inFile, type Mutant } from "./mutant.js"

export const config: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/config/unknownKeys.ts", [
    {
      breaks: "configuration: an unknown key is ignored",
      symbol: "refuseUnknownKeys",
      replace: "unknown.length > 0",
      by: "false",
      tests: ["test/Config.test.ts"]
    },
    {
      breaks: "configuration: a key in another case counts as read",
      symbol: "refuseUnknownKeys",
      replace: "Effect.forEach(given, nameOf)",
      by: "Effect.forEach(keys, nameOf)",
      tests: ["test/Config.test.ts"]
    },
    {
      breaks: "configuration: a value at a key that has children is not seen",
      symbol: "pathsUnder",
      replace: "children.length === 0 || (yield* hasValue(provider, path))",
      by: "children.length === 0",
      tests: ["test/Config.test.ts"]
    }
  ]),
  ...inFile("src/internal/config/byName.ts", [
    {
      breaks: "configuration: a property that every object has counts as the name of a policy",
      symbol: "lookUp",
      replace: "Record.get(known, name)",
      by: "Option.fromNullable(known[name])",
      tests: ["test/Config.test.ts"]
    },
    {
      breaks: "configuration: a setting of another executor is ignored",
      symbol: "executorOf",
      replace: "!chosen?.accepts.includes(name)",
      by: "chosen === undefined",
      tests: ["test/Config.test.ts"]
    },
    {
      breaks: "configuration: intents of blocked tasks count in a limit",
      symbol: "policyOf",
      replace: "Policy.all(...policies)",
      by: "Policy.all(...policies.reverse())",
      tests: ["test/Config.test.ts"]
    }
  ]),
  ...inFile("src/internal/config/settings.ts", [
    {
      breaks: "configuration: a limit of zero is accepted",
      symbol: "count",
      replace: "n > 0",
      by: "n >= 0",
      tests: ["test/Config.test.ts"]
    }
  ]),
  ...inFile("src/internal/contract/limits.ts", [
    {
      breaks: "limits: a scope's own limit is ignored",
      symbol: "resolveLimits",
      replace: "limitNames.every((name) => options[name] === undefined)",
      by: "true",
      tests: ["test/internal/contract/limits.test.ts"]
    },
    {
      breaks: "limits: a scope that sets one limit has the defaults of the others, not the application's",
      symbol: "resolveLimits",
      replace: "base[name]",
      by: "limits[name].default",
      tests: ["test/internal/contract/limits.test.ts"]
    }
  ]),
  ...inFile("src/Airlock.ts", [
    {
      breaks: "configuration: a configured policy replaces the policy of the context",
      symbol: "layer",
      replace: "all(options.policy, policy)",
      by: "options.policy",
      tests: ["test/Config.test.ts"]
    }
  ])
]
