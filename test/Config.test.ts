/**
 * `Airlock.layerConfig`: an application names its executor, policies and limits in its configuration.
 */
import { describe, expect, it } from "@effect/vitest"
import { Config, ConfigError, ConfigProvider, Effect, Exit, Layer, Logger, Redacted, Schema } from "effect"
import { Airlock, AirlockLive, Executor, Policy, Task } from "effect-airlock"
import { readFileSync } from "node:fs"
import { vi } from "vitest"
import { keys } from "../src/internal/config/settings.js"
import { pageExample } from "./support/pageExample.js"

const Mail = Task.make("Mail", { payload: Schema.String })
const Audit = Task.make("Audit", { payload: Schema.String })

type Configured = Layer.Layer<Airlock.Airlock, unknown>

const mapOf = (settings: Record<string, string>) =>
  ConfigProvider.fromMap(new Map(Object.entries(settings).map(([key, value]) => [`AIRLOCK.${key}`, value])))

const readBy = (provider: ConfigProvider.ConfigProvider, layer: Configured = Airlock.layerConfig()) =>
  Effect.provide(Airlock.configuration, layer.pipe(Layer.provide(Layer.setConfigProvider(provider))))

const read = (settings: Record<string, string>, layer?: Configured) => readBy(mapOf(settings), layer)

const defaults: Airlock.Configuration = {
  executor: "inProcess",
  executorOptions: { concurrency: 1, failFast: false, timeout: "unlimited" },
  policy: "allowAll",
  maxIntents: 10_000,
  maxPayloadBytes: "unlimited",
  maxCascade: 100,
  policyTimeout: "5s",
  approveTimeout: "5m",
  dispatchTimeout: "1m",
  shutdownTimeout: "30s",
  unsupportedOptions: "refuse"
}

/** The text of the `ConfigError` that a Layer fails with. A defect fails the test. */
const refused = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(self), (error) => {
    expect(ConfigError.isConfigError(error)).toBe(true)
    return String(error)
  })

const nowhere = (name: string) =>
  Executor.make({ name, dispatch: (intents) => Effect.succeed(intents.map(() => Exit.void)) })

describe("Airlock.layerConfig", () => {
  it.effect("without any key builds what AirlockLive is", () =>
    Effect.gen(function*() {
      expect(yield* read({})).toEqual(defaults)
      expect(yield* read({}, AirlockLive)).toEqual(defaults)
    }))

  it.effect("reads every key", () =>
    Effect.gen(function*() {
      const all = {
        EXECUTOR: "inProcess",
        POLICY: "allowAll, logOnFlush",
        ALLOW_TASKS: "Mail, Audit",
        BLOCK_TASKS: "Audit",
        FAIL_FAST: "true",
        CONCURRENCY: "8",
        TASK_TIMEOUT: "9 seconds",
        MAX_INTENTS: "1",
        MAX_PAYLOAD_BYTES: "2",
        MAX_CASCADE: "3",
        POLICY_TIMEOUT: "4 seconds",
        APPROVE_TIMEOUT: "6 minutes",
        DISPATCH_TIMEOUT: "1500 millis",
        SHUTDOWN_TIMEOUT: "7 seconds",
        UNSUPPORTED_OPTIONS: "ignore"
      }
      expect([...Object.keys(all), "CAPACITY", "DRAIN_TIMEOUT"].sort()).toEqual([...keys].sort())
      expect(yield* read(all)).toEqual({
        executor: "inProcess",
        executorOptions: { concurrency: 8, failFast: true, timeout: "9s" },
        policy: "all(allowTasks(Mail, Audit), blockTasks(Audit), allowAll, logOnFlush)",
        maxIntents: 1,
        maxPayloadBytes: 2,
        maxCascade: 3,
        policyTimeout: "4s",
        approveTimeout: "6m",
        dispatchTimeout: "1s 500ms",
        shutdownTimeout: "7s",
        unsupportedOptions: "ignore"
      })
      expect((yield* read({ EXECUTOR: "background", CAPACITY: "5", CONCURRENCY: "unbounded" })).executorOptions)
        .toEqual({
          executor: "inProcess",
          concurrency: "unbounded",
          failFast: false,
          timeout: "unlimited",
          batches: "unlimited",
          capacity: 5
        })
      expect((yield* read({ EXECUTOR: "drain", DRAIN_TIMEOUT: "3 seconds" })).executorOptions).toEqual({
        ...defaults.executorOptions,
        drainTimeout: "3s"
      })
    }))

  it.effect("FAIL_FAST stops the batch at the first failure, and without it every intent is attempted", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const run = (settings: Record<string, string>) =>
        Effect.gen(function*() {
          yield* Airlock.enqueue(Mail, "fails")
          yield* Airlock.enqueue(Mail, "runs")
        }).pipe(
          Airlock.scoped,
          Effect.ignore,
          Effect.provide(
            Mail.toLayer((text) =>
              Effect.zipRight(Effect.sync(() => ran.push(text)), text === "fails" ? Effect.fail("no") : Effect.void)
            )
              .pipe(Layer.provideMerge(Airlock.layerConfig()), Layer.provide(Layer.setConfigProvider(mapOf(settings))))
          )
        )
      yield* run({ EXECUTOR: "inProcess", FAIL_FAST: "yes" })
      expect(ran).toEqual(["fails"])
      yield* run({})
      expect(ran).toEqual(["fails", "fails", "runs"])
    }))

  it.effect("adds up the policies named by POLICY, those named by BLOCK_TASKS and that of the Layer's context", () =>
    Effect.gen(function*() {
      const layer = Airlock.layerConfig({ policies: { twoOnly: Policy.limit(2) } }).pipe(
        Layer.provide(Policy.layer(Policy.blockTasks(["Late"]))),
        Layer.provide(Layer.setConfigProvider(mapOf({ POLICY: "logOnFlush,twoOnly", BLOCK_TASKS: "Audit" })))
      )
      const plan = yield* Airlock.plan(Effect.all([
        Airlock.enqueue(Audit, "a"),
        Airlock.enqueue(Task.make("Late", { payload: Schema.String }), "b"),
        Airlock.enqueue(Mail, "c"),
        Airlock.enqueue(Mail, "d")
      ])).pipe(Effect.provide(layer))
      expect(plan.entries.map(({ reason, task }) => [task, reason])).toEqual([
        ["Audit", "the task is blocked"],
        ["Late", "the task is blocked"],
        ["Mail", undefined],
        ["Mail", "only 2 intents may leave"]
      ])
    }))

  it.effect("prefers the configured executor to that of the Layer's context, which it uses when none is configured", () =>
    Effect.gen(function*() {
      const layer = Airlock.layerConfig({ executors: { mine: nowhere("mine") } }).pipe(
        Layer.provide(Executor.layer(nowhere("around")))
      )
      expect((yield* read({ EXECUTOR: "mine" }, layer)).executor).toBe("mine")
      expect((yield* read({ EXECUTOR: "inProcess" }, layer)).executor).toBe("inProcess")
      expect((yield* read({}, layer)).executor).toBe("around")
    }))

  it.effect("acquires only the chosen executor, and releases it with the Layer", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const made = (name: string) =>
        Effect.as(
          Effect.acquireRelease(
            Effect.sync(() => log.push(`opened ${name}`)),
            () => Effect.sync(() => log.push(`closed ${name}`))
          ),
          nowhere(name)
        )
      const layer = Airlock.layerConfig({ executors: { a: made("a"), b: made("b") } })
      expect((yield* read({ EXECUTOR: "b" }, layer)).executor).toBe("b")
      expect(log).toEqual(["opened b", "closed b"])
    }))

  it.effect("fails with an executor's own error if that executor cannot be acquired", () =>
    Effect.gen(function*() {
      const layer = Airlock.layerConfig({ executors: { broken: Effect.fail("no connection" as const) } })
      expect(yield* Effect.flip(read({ EXECUTOR: "broken" }, layer))).toBe("no connection")
    }))

  it.effect("prefers a custom executor or policy to a built-in one of the same name", () =>
    Effect.gen(function*() {
      const layer = Airlock.layerConfig({
        executors: { inProcess: nowhere("mine") },
        policies: { allowAll: Policy.dropAll }
      })
      expect(yield* read({ EXECUTOR: "inProcess", POLICY: "allowAll" }, layer)).toEqual(
        { ...defaults, executor: "mine", executorOptions: {}, policy: "allowAll" }
      )
    }))
})

describe("Airlock.layerConfig, when it is built,", () => {
  const cases: Record<string, readonly [settings: Record<string, string>, ...expected: ReadonlyArray<string>]> = {
    "an unknown executor": [
      { EXECUTOR: "Kafka" },
      "AIRLOCK.EXECUTOR",
      "Expected the name of an executor, one of background, drain, inProcess, mine, but received \"Kafka\""
    ],
    "an unknown policy": [
      { POLICY: "dropAll,dropSome" },
      "AIRLOCK.POLICY",
      "one of allowAll, assertNoEffects, dropAll, logOnFlush, night, but received \"dropSome\""
    ],
    "a policy named like a property of every object": [
      { POLICY: "toString" },
      "AIRLOCK.POLICY",
      "but received \"toString\""
    ],
    "an empty list": [{ ALLOW_TASKS: "" }, "AIRLOCK.ALLOW_TASKS", "Expected names with a comma between them"],
    "a list with an empty name": [{ BLOCK_TASKS: "Mail,,Audit" }, "AIRLOCK.BLOCK_TASKS", "Expected names"],
    "text where a number belongs": [{ MAX_INTENTS: "many" }, "AIRLOCK.MAX_INTENTS", "Expected an integer"],
    "a negative number": [{ MAX_CASCADE: "-1" }, "AIRLOCK.MAX_CASCADE", "Expected a whole number above 0"],
    "zero": [{ MAX_INTENTS: "0" }, "AIRLOCK.MAX_INTENTS", "Expected a whole number above 0"],
    "a fraction": [{ MAX_PAYLOAD_BYTES: "1.5" }, "AIRLOCK.MAX_PAYLOAD_BYTES", "Expected an integer"],
    "text where a duration belongs": [{ POLICY_TIMEOUT: "soon" }, "AIRLOCK.POLICY_TIMEOUT", "Expected a duration"],
    "a duration without a unit": [{ POLICY_TIMEOUT: "5" }, "AIRLOCK.POLICY_TIMEOUT", "Expected a duration"],
    "a duration of zero": [{ DISPATCH_TIMEOUT: "0 millis" }, "AIRLOCK.DISPATCH_TIMEOUT", "Expected a duration above 0"],
    "text where a boolean belongs": [
      { EXECUTOR: "inProcess", FAIL_FAST: "maybe" },
      "AIRLOCK.FAIL_FAST",
      "Expected a boolean"
    ],
    "an option that the named executor does not have": [
      { EXECUTOR: "mine", FAIL_FAST: "true" },
      "AIRLOCK.FAIL_FAST",
      "Expected AIRLOCK_EXECUTOR to be inProcess or background or drain"
    ],
    "an executor's option when no executor is named": [
      { FAIL_FAST: "true" },
      "Expected AIRLOCK_EXECUTOR to be inProcess or background or drain"
    ],
    "a misspelt key": [{ MAX_INTENT: "5" }, "AIRLOCK.MAX_INTENT:", ...keys],
    "two invalid values, and names both": [
      { MAX_INTENTS: "x", MAX_CASCADE: "y" },
      "AIRLOCK.MAX_INTENTS",
      "AIRLOCK.MAX_CASCADE"
    ],
    "two unknown keys, and names both": [{ MAX: "1", "A.B": "2" }, "AIRLOCK.MAX:", "AIRLOCK.A.B:"]
  }
  for (const [name, [settings, ...expected]] of Object.entries(cases)) {
    it.effect(`refuses ${name}`, () =>
      Effect.gen(function*() {
        const layer = Airlock.layerConfig({ executors: { mine: nowhere("mine") }, policies: { night: Policy.dropAll } })
        const error = yield* refused(read(settings, layer))
        for (const text of expected) {
          expect(error).toContain(text)
        }
      }))
  }
})

describe("Airlock.layerConfig with a ConfigProvider", () => {
  const json = (value: unknown) => ConfigProvider.fromJson(value)
  const good: Record<string, readonly [ConfigProvider.ConfigProvider, Airlock.Configuration]> = {
    "a map with keys split at dots": [mapOf({ MAX_INTENTS: "5", POLICY: "dropAll" }), {
      ...defaults,
      maxIntents: 5,
      policy: "dropAll"
    }],
    "a map with keys split at underscores": [
      ConfigProvider.fromMap(
        new Map([["AIRLOCK_POLICY", "dropAll"], ["AIRLOCK_POLICY_TIMEOUT", "3 seconds"], ["AIRLOCKED", "1"], [
          "OTHER_X",
          "1"
        ]]),
        { pathDelim: "_" }
      ),
      { ...defaults, policy: "dropAll", policyTimeout: "3s" }
    ],
    "a map with a list": [
      mapOf({ "POLICY[0]": "dropAll", "POLICY[1]": "logOnFlush" }),
      { ...defaults, policy: "all(dropAll, logOnFlush)" }
    ],
    JSON: [
      json({
        AIRLOCK: { MAX_INTENTS: 5, POLICY: ["dropAll", "logOnFlush"], BLOCK_TASKS: "Mail, Audit" },
        OTHER: { X: 1 }
      }),
      { ...defaults, maxIntents: 5, policy: "all(blockTasks(Mail, Audit), dropAll, logOnFlush)" }
    ],
    "kebab-case JSON": [
      json({ airlock: { "max-intents": 5 } }).pipe(ConfigProvider.kebabCase),
      { ...defaults, maxIntents: 5 }
    ],
    "nested JSON": [
      json({ app: { AIRLOCK: { POLICY: "dropAll,logOnFlush" } }, AIRLOCK: { OTHER: 1 } }).pipe(
        ConfigProvider.nested("app")
      ),
      { ...defaults, policy: "all(dropAll, logOnFlush)" }
    ],
    "a provider with a fallback": [
      mapOf({ MAX_INTENTS: "5" }).pipe(
        ConfigProvider.orElse(() => json({ airlock: { "policy-timeout": "3 seconds" } }).pipe(ConfigProvider.kebabCase))
      ),
      { ...defaults, maxIntents: 5, policyTimeout: "3s" }
    ]
  }
  for (const [name, [provider, expected]] of Object.entries(good)) {
    it.effect(`reads ${name}`, () =>
      Effect.gen(function*() {
        expect(yield* readBy(provider)).toEqual(expected)
      }))
  }

  const bad: Record<string, readonly [ConfigProvider.ConfigProvider, named: string]> = {
    "a map with keys split at underscores": [
      ConfigProvider.fromMap(new Map([["AIRLOCK_MAX", "1"], ["AIRLOCK_MAX_INTENTS", "2"]]), { pathDelim: "_" }),
      "AIRLOCK.MAX:"
    ],
    JSON: [json({ AIRLOCK: { MAX_INTENTS: { OF: 1 } } }), "AIRLOCK.MAX_INTENTS.OF:"],
    "JSON in another case": [json({ airlock: { maxIntents: 5 } }), "airlock.maxIntents:"],
    "kebab-case JSON": [json({ airlock: { "max-intent": 5 } }).pipe(ConfigProvider.kebabCase), "airlock.max-intent:"],
    "nested JSON": [json({ app: { AIRLOCK: { NOPE: 1 } } }).pipe(ConfigProvider.nested("app")), "app.AIRLOCK.NOPE:"],
    "a provider with a fallback": [
      mapOf({ MAX_INTENTS: "5" }).pipe(ConfigProvider.orElse(() => json({ AIRLOCK: { NOPE: 1 } }))),
      "AIRLOCK.NOPE:"
    ]
  }
  for (const [name, [provider, named]] of Object.entries(bad)) {
    it.effect(`refuses an unknown key in ${name}`, () =>
      Effect.gen(function*() {
        expect(yield* refused(readBy(provider))).toContain(named)
      }))
  }

  const inEnvironment = <A, E, R>(variables: Record<string, string>, self: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => Object.assign(process.env, variables)),
      () => self,
      () =>
        Effect.sync(() => {
          for (const name of Object.keys(variables)) {
            delete process.env[name]
          }
        })
    )
  // This prefix keeps the test apart from variables that are set on the machine.
  const here = Airlock.layerConfig({ prefix: "CONFIG_TEST" })
  const nested = ConfigProvider.fromEnv().pipe(ConfigProvider.nested("config-test"), ConfigProvider.constantCase)

  it.effect("reads the environment under a prefix with an underscore", () =>
    Effect.gen(function*() {
      const configuration = yield* inEnvironment(
        {
          CONFIG_TEST_MAX_INTENTS: "6",
          CONFIG_TEST_POLICY: "dropAll,logOnFlush",
          CONFIG_TEST_POLICY_TIMEOUT: "3 seconds"
        },
        readBy(ConfigProvider.fromEnv(), here)
      )
      expect(configuration).toEqual(
        { ...defaults, maxIntents: 6, policy: "all(dropAll, logOnFlush)", policyTimeout: "3s" }
      )
    }))

  it.effect("reads the environment through a nested provider in another case", () =>
    Effect.gen(function*() {
      const configuration = yield* inEnvironment({ CONFIG_TEST_AIRLOCK_MAX_INTENTS: "6" }, readBy(nested))
      expect(configuration).toEqual({ ...defaults, maxIntents: 6 })
    }))

  it.effect("refuses an unknown key in the environment, and does not show its value", () =>
    Effect.gen(function*() {
      const error = yield* refused(
        inEnvironment({ CONFIG_TEST_DATABASE_URL: "postgres://me:secret@db" }, readBy(ConfigProvider.fromEnv(), here))
      )
      expect(error).toContain("CONFIG.TEST.DATABASE.URL:")
      expect(error).not.toContain("secret")
      expect(yield* refused(inEnvironment({ CONFIG_TEST_AIRLOCK_NOPE: "1" }, readBy(nested)))).toContain("NOPE:")
    }))

  it.effect("refuses a key of the environment in lower case, because it is not read", () =>
    Effect.gen(function*() {
      const error = yield* refused(
        inEnvironment({ config_test_max_intents: "6" }, readBy(ConfigProvider.fromEnv(), here))
      )
      expect(error).toContain("CONFIG.TEST.MAX.INTENTS:")
    }))
})

describe("Airlock.configuration", () => {
  it.effect("shows the configuration of Airlock.layer too", () =>
    Effect.gen(function*() {
      const layer = Airlock.layer({
        policy: Policy.dropAll,
        executor: nowhere("nowhere"),
        maxPayloadBytes: 7,
        approveTimeout: "2 days"
      }).pipe(Layer.provide(Policy.layer(Policy.limit(3))))
      expect(yield* read({}, layer)).toEqual({
        ...defaults,
        policy: "all(dropAll, limit)",
        executor: "nowhere",
        executorOptions: {},
        maxPayloadBytes: 7,
        approveTimeout: "2d"
      })
    }))

  it.effect("can be logged as one structured value, without the secrets of an executor", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.map(Logger.jsonLogger, (line) => {
          lines.push(line)
        })
      )
      const keyed = Effect.map(Config.redacted("PASSWORD"), (password) =>
        Executor.make({
          name: "keyed",
          dispatch: (intents) =>
            Effect.succeed(intents.map(() => Redacted.value(password) === "" ? Exit.die("") : Exit.void))
        }))
      const provider = mapOf({ EXECUTOR: "keyed" }).pipe(
        ConfigProvider.orElse(() => ConfigProvider.fromMap(new Map([["PASSWORD", "secret"]])))
      )
      yield* Effect.flatMap(Airlock.configuration, (_) => Effect.logInfo("Airlock", _)).pipe(
        Effect.provide(Airlock.layerConfig({ executors: { keyed } })),
        Effect.provide(Layer.setConfigProvider(provider)),
        Effect.provide(logger)
      )
      expect(lines.map((line) => JSON.parse(line).message)).toEqual([["Airlock", {
        ...defaults,
        executor: "keyed",
        executorOptions: {}
      }]])
      expect(lines.join()).not.toContain("secret")
    }))
})

describe("docs/configuration.md", () => {
  it.effect("shows the configuration of its keys", () =>
    Effect.gen(function*() {
      const page = readFileSync("docs/configuration.md", "utf8")
      const [, shown] = page.match(/^```text\n(\{[\s\S]*?)^```$/m)!
      const configuration = yield* read({
        BLOCK_TASKS: "SendNewsletter",
        POLICY: "logOnFlush",
        DISPATCH_TIMEOUT: "10 seconds"
      })
      expect(JSON.parse(shown!)).toEqual(configuration)
    }))

  it.effect("has a webhook that posts payloads, and reports each that was not accepted", () =>
    Effect.gen(function*() {
      const { webhook } = yield* Effect.promise(() => pageExample("docs/configuration.md", "const webhook"))
      const posted: Array<unknown> = []
      vi.stubGlobal("fetch", async (url: string, { body, headers }: RequestInit) => {
        posted.push([url, body, new Headers(headers).get("authorization")])
        return new Response("", { status: body === "\"bad\"" ? 500 : 202 })
      })
      const provider = mapOf({ EXECUTOR: "webhook" }).pipe(
        ConfigProvider.orElse(() => ConfigProvider.fromMap(new Map([["WEBHOOK_TOKEN", "secret"]])))
      )
      const error = yield* Effect.all([Airlock.enqueue(Mail, "good"), Airlock.enqueue(Mail, "bad")]).pipe(
        Airlock.scoped,
        Effect.flip,
        Effect.provide(Airlock.layerConfig({ executors: { webhook: webhook as Executor.Executor } })),
        Effect.provide(Layer.setConfigProvider(provider))
      )
      expect(posted).toEqual([
        ["https://example.com/Mail", "\"good\"", "secret"],
        ["https://example.com/Mail", "\"bad\"", "secret"]
      ])
      expect(error.failures.length).toBe(1)
      expect(error.message).toContain("the webhook answered 500")
    }).pipe(Effect.ensuring(Effect.sync(() => vi.unstubAllGlobals()))))
})

describe("the table of docs/configuration.md", () => {
  const rows = [...readFileSync("docs/configuration.md", "utf8").matchAll(/^\| `([A-Z_]+)`.*\| (.*?) +\|$/gm)]

  it("has a row for each key, and for no other", () => {
    expect(rows.map(([, key]) => key)).toEqual(keys)
  })

  it("gives the default of each limit", () => {
    const { executor: _, executorOptions: __, policy: ___, ...limits } = defaults
    const shown = Object.fromEntries(rows.map(([, key, value]) => [key, value!.replace(" ", "")]))
    for (const [limit, value] of Object.entries(limits)) {
      expect([limit, shown[limit.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()]]).toEqual([
        limit,
        `${value}`
      ])
    }
  })
})
