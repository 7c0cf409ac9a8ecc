import { Args, Command, Options, Prompt, ValidationError } from "@effect/cli"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import { Airlock, AirlockTest, Executor, Policy } from "effect-airlock"
import * as AirlockCommand from "effect-airlock/AirlockCommand"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { nothingPrinted, printingTo, reportOf, run, runByAirlock } from "./support/commands.js"
import { decorated, insertOrder, onEachDatabase, orders } from "./support/databases.js"
import { layer as recorder, left, note } from "./support/recorder.js"

const send = Command.make(
  "send",
  { to: Args.text({ name: "to" }), twice: Options.boolean("twice") },
  ({ to, twice }) => Effect.zipRight(note(to), twice ? note(to) : Effect.void)
)

const scoped = AirlockCommand.scoped(send)

const notes = (chunk: ReadonlyArray<number>) => Effect.forEach(chunk, (n) => note(`${n}`), { discard: true })

type WithoutTransaction = Omit<AirlockCommand.ChunkOptions<never>, "transaction">

const durable = {
  name: "queue",
  durable: true,
  dispatch: (intents: ReadonlyArray<unknown>) => Effect.succeed(intents.map(() => Exit.void))
}

const failureOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

const defectOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined

describe("AirlockCommand.scoped", () => {
  it.effect("lets the intents of a command leave when it has succeeded, and not before", () =>
    Effect.gen(function*() {
      const during: Array<ReadonlyArray<string>> = []
      const command = send.pipe(
        Command.transformHandler((handler) => Effect.zipLeft(handler, Effect.map(left, (texts) => during.push(texts)))),
        AirlockCommand.scoped
      )
      const { exit, out } = yield* run(command, ["--twice", "a"])
      expect(Exit.isSuccess(exit)).toBe(true)
      expect(out).toEqual([])
      expect(during).toEqual([[]])
      expect(yield* left).toEqual(["a", "a"])
    }).pipe(Effect.provide(recorder())))

  it.effect("discards the intents of a command that fails, and keeps its error", () =>
    Effect.gen(function*() {
      const command = Command.make("fails", {}, () => Effect.zipRight(note("a"), Effect.fail("no" as const)))
      const { exit } = yield* run(AirlockCommand.scoped(command))
      expect(exit).toEqual(Exit.fail("no"))
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("fails with a FlushError if the command succeeded and an intent could not leave", () =>
    Effect.gen(function*() {
      const { exit } = yield* run(scoped, ["fail"])
      expect(failureOf(exit)).toMatchObject({ _tag: "FlushError", scope: "send", failures: [{ task: "Note" }] })
    }).pipe(Effect.provide(recorder())))

  it.effect("takes the options of a scope, before or after the command", () =>
    Effect.gen(function*() {
      const errors: Array<string> = []
      const options = {
        name: "mine",
        policy: Policy.dropAll,
        onFlushError: ({ scope }: { readonly scope: string }) => Effect.sync(() => void errors.push(scope))
      }
      yield* run(AirlockCommand.scoped(send, options), ["a"])
      yield* run(send.pipe(AirlockCommand.scoped(options)), ["a"])
      expect(yield* left).toEqual([])
      expect((yield* run(AirlockCommand.scoped(send, { onFlushError: options.onFlushError }), ["fail"])).exit)
        .toEqual(Exit.void)
      expect(errors).toEqual(["send"])
    }).pipe(Effect.provide(recorder())))

  it.effect("keeps the name, the help and the other options of a command, and adds its own to the help", () =>
    Effect.gen(function*() {
      const described = send.pipe(Command.withDescription("Sends a note"), AirlockCommand.scoped)
      const help = (yield* run(described, ["--help"])).out.join("\n")
      for (const part of ["Sends a note", "--twice", "--dry-run", "--dry-run-json", "lets nothing leave"]) {
        expect(help).toContain(part)
      }
      expect(failureOf((yield* run(described, [])).exit)).toSatisfy(ValidationError.isValidationError)
      expect(failureOf((yield* run(described, ["a", "--dryrun"])).exit)).toSatisfy(ValidationError.isValidationError)
    }).pipe(Effect.provide(recorder())))

  it.effect("puts a command without options in a scope, too", () =>
    Effect.gen(function*() {
      const bare = Command.make("bare").pipe(Command.withHandler(() => note("a")), AirlockCommand.scoped)
      yield* run(bare)
      yield* run(bare, ["--dry-run"])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(recorder())))
})

describe("commands of other kinds", () => {
  it.effect("a prompt is put in a scope, and gets no option", () =>
    Effect.gen(function*() {
      const prompt = AirlockCommand.scoped(Command.prompt("ask", Prompt.succeed("a"), (text) => note(text)))
      yield* run(prompt)
      expect(yield* left).toEqual(["a"])
      expect(failureOf((yield* run(prompt, ["--dry-run"])).exit)).toSatisfy(ValidationError.isValidationError)
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(recorder())))

  it.effect("one that is in two scopes has one dry run", () =>
    Effect.gen(function*() {
      const twice = scoped.pipe(Command.withDescription("twice"), AirlockCommand.scoped)
      const ran = yield* run(twice, ["--dry-run-json", "a"])
      expect(reportOf(ran).intents).toBe(1)
      expect(ran.out.length).toBe(1)
      expect(yield* left).toEqual([])
      yield* run(twice, ["a"])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(recorder())))

  it("one of a version of @effect/cli that is not known is refused", () => {
    const unknown: typeof send = Object.assign(Object.create(Object.getPrototypeOf(send)), send, {
      descriptor: { _tag: "Unknown" },
      tag: send.tag
    })
    expect(() => AirlockCommand.scoped(unknown)).toThrow("this version of @effect/cli")
  })
})

describe("a dry run", () => {
  it.effect("runs the command, lets nothing leave, and prints the plan with counts by task and reason", () =>
    Effect.gen(function*() {
      let runs = 0
      const command = Command.make("many", {}, () =>
        Effect.gen(function*() {
          runs++
          yield* Effect.forEach([1, 2, 3], (n) => note(`${n}`), { discard: true })
          yield* note("4").pipe(Airlock.withPolicy(Policy.dropAll))
          yield* Airlock.scoped({ independent: true })(note("5"))
        }))
      const { exit, out } = yield* run(AirlockCommand.scoped(command, { rows: 4 }), ["--dry-run"])
      expect(exit).toEqual(Exit.void)
      expect(runs).toBe(1)
      expect(yield* left).toEqual([])
      expect(out.length).toBe(1)
      const ids = /\b\w{20,}\b|\b[\w-]{36}\b/g
      expect(out[0]!.replaceAll(ids, "<id>").replaceAll(/ +/g, " ").split("\n")).toEqual([
        "Dry run of \"many\": 4 of 5 intents would leave. Nothing has left.",
        "",
        "intents task decision policy reason",
        " 4 Note dispatch",
        " 1 Note drop dropAll every intent is dropped",
        "",
        "The first 4 of 5 intents:",
        "",
        "intent task decision policy reason from origin",
        "<id> Note dispatch own",
        "<id> Note dispatch own",
        "<id> Note dispatch own",
        "<id> Note drop dropAll every intent is dropped own"
      ])
    }).pipe(Effect.provide(recorder())))

  it.effect("prints JSON that Report decodes", () =>
    Effect.gen(function*() {
      const ran = yield* run(scoped, ["--twice", "--dry-run-json", "a"])
      expect(yield* left).toEqual([])
      expect(ran.out.length).toBe(1)
      const report = reportOf(ran)
      expect(report).toMatchObject({ command: "send", intents: 2, dispatched: 2 })
      expect(report.counts).toEqual([new AirlockCommand.Count({ task: "Note", decision: "dispatch", intents: 2 })])
      expect(report.entries.map(({ decision, depth, provenance }) => [decision, depth, provenance])).toEqual([
        ["dispatch", 0, "own"],
        ["dispatch", 0, "own"]
      ])
    }).pipe(Effect.provide(recorder())))

  it.effect("says that a command without intents has none", () =>
    Effect.gen(function*() {
      const { out } = yield* run(AirlockCommand.scoped(Command.make("quiet", {}, () => Effect.void)), ["--dry-run"])
      expect(out).toEqual(["Dry run of \"quiet\": 0 of 0 intents would leave. Nothing has left."])
    }).pipe(Effect.provide(recorder())))

  it.effect("is asked for anywhere among the arguments, and not without its option", () =>
    Effect.gen(function*() {
      for (
        const args of [["a", "--dry-run"], ["--dry-run", "a"], ["--dry-run", "--twice", "a"], ["a", "--dry-run=true"]]
      ) {
        expect((yield* run(scoped, args)).out[0]).toContain("Nothing has left")
      }
      expect(yield* left).toEqual([])
      expect((yield* run(scoped, ["--dry-run=false", "a"])).out).toEqual([])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(recorder())))

  it.effect("is asked for as --dry-run=json with AirlockCommand.run, which changes nothing else", () =>
    Effect.gen(function*() {
      const printed = nothingPrinted()
      const cli = (...args: ReadonlyArray<string>) =>
        AirlockCommand.run(scoped, { name: "test", version: "1" })(["node", "test", ...args]).pipe(printingTo(printed))
      yield* cli("--dry-run=json", "a")
      yield* cli("--twice", "a", "--dry-run=json")
      expect(printed.out.map((line) => reportOf({ ...printed, out: [line] }).intents)).toEqual([1, 2])
      yield* cli("a", "--dry-run=table")
      expect(printed.out[2]).toContain("Nothing has left")
      expect(yield* left).toEqual([])
      yield* cli("--", "--dry-run=json")
      expect(yield* left).toEqual(["--dry-run=json"])
    }).pipe(Effect.provide(recorder())))

  it.effect("is asked for with AirlockCommand.run, whatever argument comes after its option", () =>
    Effect.gen(function*() {
      const resend = AirlockCommand.scoped(
        Command.make(
          "resend",
          { ids: Args.text({ name: "id" }).pipe(Args.repeated) },
          ({ ids }) => Effect.forEach(ids, note, { discard: true })
        )
      )
      for (const value of ["0", "n", "no", "off", "false", "1", "y", "yes", "on", "true", "TRUE"]) {
        for (const option of ["--dry-run-json", "--DRY-RUN=json"]) {
          expect(reportOf(yield* runByAirlock(resend, [option, value, "5"])).intents).toBe(2)
          expect(reportOf(yield* runByAirlock(resend, ["5", option, value])).intents).toBe(2)
        }
        expect((yield* runByAirlock(resend, ["--dry-run", value, "5"])).out[0]).toContain("2 of 2 intents would leave")
      }
      const one = AirlockCommand.scoped(Command.make("one", { id: Args.integer() }, ({ id }) => note(`${id}`)))
      expect((yield* runByAirlock(one, ["--dry-run", "1"])).out[0]).toContain("1 of 1 intents would leave")
      const group = Command.make("group").pipe(Command.withSubcommands([resend]), AirlockCommand.scoped)
      expect(reportOf(yield* runByAirlock(group, ["resend", "--dry-run-json", "0"]))).toMatchObject({
        command: "resend"
      })
      expect(reportOf(yield* runByAirlock(group, ["--dry-run-json", "resend", "0"]))).toMatchObject({
        command: "group"
      })
      expect(yield* left).toEqual([])
      yield* runByAirlock(resend, ["--dry-run=false", "0"])
      yield* runByAirlock(resend, ["--", "--dry-run", "no"])
      expect(yield* left).toEqual(["0", "--dry-run", "no"])
    }).pipe(Effect.provide(recorder())))

  it.effect("does not turn into a run if the parser takes its option for an argument", () =>
    Effect.gen(function*() {
      const resend = AirlockCommand.scoped(
        Command.make("resend", { ids: Args.text({ name: "id" }).pipe(Args.repeated) }, ({ ids }) =>
          Effect.forEach(ids, note, { discard: true }))
      )
      const group = Command.make("group").pipe(Command.withSubcommands([resend]), AirlockCommand.scoped)
      for (const option of ["--dry-run", "--dry-run-json", "--dry-run=json", "--dry-run=", "--dry-run=true"]) {
        for (const [command, name] of [[resend, "resend"], [group, "group"]] as const) {
          const args = [...(name === "group" ? ["resend"] : []), "--n", "3", "a", option]
          const { exit } = yield* runByAirlock(command as typeof resend, args)
          expect(String(defectOf(exit))).toContain(`found no --dry-run of the command "${name}"`)
        }
      }
      expect(yield* left).toEqual([])
      yield* runByAirlock(resend, ["--n", "3"])
      expect(yield* left).toEqual(["--n", "3"])
    }).pipe(Effect.provide(recorder())))

  it.effect("can be missed by Command.run, as the documentation warns", () =>
    Effect.gen(function*() {
      const resend = AirlockCommand.scoped(
        Command.make("resend", { ids: Args.text({ name: "id" }).pipe(Args.repeated) }, ({ ids }) =>
          Effect.forEach(ids, note, { discard: true }))
      )
      expect((yield* run(resend, ["--dry-run", "1"])).out[0]).toContain("0 of 0 intents")
      yield* run(resend, ["--dry-run", "0", "5"])
      yield* run(resend, ["--n", "3", "--dry-run"])
      expect(yield* left).toEqual(["5", "--n", "3", "--dry-run"])
    }).pipe(Effect.provide(recorder())))

  it.effect("accepts what the executor of the command accepts", () =>
    Effect.gen(function*() {
      const saved = Airlock.enqueueEffect("saved", Effect.void)
      const command = Command.make("closures", {}, () =>
        Effect.zipRight(
          saved,
          AirlockCommand.runForEachChunk(Stream.range(1, 2), () => saved)
        ))
      const here = AirlockCommand.scoped(command, { executor: Executor.inProcess() })
      expect(reportOf(yield* run(here, ["--dry-run-json"]))).toMatchObject({ intents: 2, dispatched: 2 })
      expect((yield* run(here)).exit).toEqual(Exit.void)
      const there = AirlockCommand.scoped(command, { executor: Executor.make({ ...durable, name: "other" }) })
      for (
        const parent of [there, Command.make("group").pipe(Command.withSubcommands([here]), AirlockCommand.scoped)]
      ) {
        const { exit } = yield* run(
          parent as typeof there,
          parent === there ? ["--dry-run"] : ["--dry-run", "closures"]
        )
        expect(defectOf(exit)).toMatchObject({
          _tag: "NotSerializableError",
          executor: parent === there ? "other" : "queue"
        })
      }
    }).pipe(Effect.provide(recorder()), Effect.provide(Executor.layer(Executor.make(durable)))))

  it.effect("lets nothing leave if Command.run gets --dry-run=json, which the parser of @effect/cli does not know", () =>
    Effect.gen(function*() {
      const bare = AirlockCommand.scoped(Command.make("bare", {}, () => note("a")))
      expect(failureOf((yield* run(bare, ["--dry-run=json"])).exit)).toSatisfy(ValidationError.isValidationError)
      expect((yield* run(scoped, ["a", "--dry-run=json"])).out[0]).toContain("Nothing has left")
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("prints nothing of a command that fails, and fails as it does", () =>
    Effect.gen(function*() {
      const command = Command.make("fails", {}, () => Effect.zipRight(note("a"), Effect.fail("no" as const)))
      const { exit, out } = yield* run(AirlockCommand.scoped(command), ["--dry-run"])
      expect(exit).toEqual(Exit.fail("no"))
      expect(out).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("can be asked for by the handler", () =>
    Effect.gen(function*() {
      const said: Array<boolean> = []
      const command = AirlockCommand.scoped(
        Command.make("asks", {}, () => Effect.map(AirlockCommand.isDryRun, (dry) => void said.push(dry)))
      )
      yield* run(command)
      yield* run(command, ["--dry-run"])
      expect(said).toEqual([false, true])
      expect(yield* AirlockCommand.isDryRun).toBe(false)
    }).pipe(Effect.provide(recorder())))

  it.effect("shows what policies of the application and of the command drop, and holds the limits of the command", () =>
    Effect.gen(function*() {
      const command = Command.make("some", {}, () => Effect.forEach([1, 2, 3], (n) => note(`${n}`), { discard: true }))
      const limited = yield* run(AirlockCommand.scoped(command, { policy: Policy.limit(1) }), ["--dry-run-json"])
      expect(reportOf(limited)).toMatchObject({ intents: 3, dispatched: 1 })
      const { exit } = yield* run(AirlockCommand.scoped(command, { maxIntents: 2 }), ["--dry-run"])
      expect(defectOf(exit)).toMatchObject({ _tag: "BufferFullError", limit: 2 })
    }).pipe(Effect.provide(recorder())))

  it.effect("has the intents that scopes inside would let leave early", () =>
    Effect.gen(function*() {
      const command = AirlockCommand.scoped(Command.make("early", {}, () => Airlock.scoped(note("a"))))
      expect(reportOf(yield* run(command, ["--dry-run-json"]))).toMatchObject({ intents: 1 })
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder({ scope: { beforeDescendantFlushes: (intents) => intents } }))))

  it.effect("does not ask for the approval, as nothing leaves", () =>
    Effect.gen(function*() {
      let asked = 0
      const command = AirlockCommand.scoped(send, { approve: () => Effect.sync(() => asked++ < 0) })
      yield* run(command, ["--dry-run", "a"])
      expect(asked).toBe(0)
      yield* run(command, ["a"])
      expect(asked).toBe(1)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("counts reasons beyond the first 200 together", () =>
    Effect.gen(function*() {
      const policy = Policy.make({ name: "each", allows: ({ id }) => Effect.succeed({ drop: id }) })
      const command = Command.make("reasons", {}, () =>
        Effect.forEach(Array.from({ length: 300 }), () =>
          note("a"), { discard: true }))
      const report = reportOf(yield* run(AirlockCommand.scoped(command, { policy }), ["--dry-run-json"]))
      expect(report.intents).toBe(300)
      expect(report.counts.length).toBe(201)
      expect(report.counts[0]).toMatchObject({ task: "(others)", decision: "drop", intents: 100 })
    }).pipe(Effect.provide(recorder())))
})

describe("a command with an option for dry runs of its own", () => {
  const own = (dryRun: Options.Options<unknown>) =>
    AirlockCommand.scoped(Command.make("own", { dryRun }, () => note("a")))

  it.effect("keeps it, and its value asks for the dry run", () =>
    Effect.gen(function*() {
      const flag = own(Options.boolean("dry-run"))
      expect((yield* run(flag, ["--dry-run"])).out[0]).toContain("Nothing has left")
      expect(reportOf(yield* run(flag, ["--dry-run-json"])).intents).toBe(1)
      const choice = own(Options.choice("dry-run", ["table", "json"]).pipe(Options.optional))
      expect((yield* run(choice, ["--dry-run=table"])).out[0]).toContain("Nothing has left")
      expect(reportOf(yield* run(choice, ["--dry-run", "json"])).intents).toBe(1)
      expect(yield* left).toEqual([])
      yield* run(flag)
      yield* run(choice)
      expect(yield* left).toEqual(["a", "a"])
    }).pipe(Effect.provide(recorder())))

  it.effect("can say that it is none, and does not run if it says neither", () =>
    Effect.gen(function*() {
      const choice = Options.choice("dry-run", ["off", "table", "json"]).pipe(Options.withDefault("off" as const))
      const mapped = own(Options.map(choice, (value) => value === "off" ? false : value))
      expect((yield* run(mapped)).out).toEqual([])
      expect((yield* runByAirlock(mapped, ["--dry-run=off"])).out).toEqual([])
      expect(yield* left).toEqual(["a", "a"])
      expect((yield* runByAirlock(mapped, ["--dry-run", "table"])).out[0]).toContain("Nothing has left")
      expect((yield* runByAirlock(mapped, ["--dry-run=table"])).out[0]).toContain("Nothing has left")
      expect(reportOf(yield* runByAirlock(mapped, ["--dry-run=json"])).intents).toBe(1)
      expect(String(defectOf((yield* run(own(choice))).exit))).toContain("does not know whether off asks for a dry run")
      expect(yield* left).toEqual(["a", "a"])
    }).pipe(Effect.provide(recorder())))

  it.effect("is no other option with the key dryRun", () =>
    Effect.gen(function*() {
      const other = own(Options.choice("mode", ["fast", "slow"]))
      expect((yield* run(other, ["--mode", "fast"])).out).toEqual([])
      expect(yield* left).toEqual(["a"])
      expect((yield* run(other, ["--dry-run", "--mode", "fast"])).out[0]).toContain("Nothing has left")
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(recorder())))

  it.effect("in two scopes is still its own", () =>
    Effect.gen(function*() {
      const twice = AirlockCommand.scoped(own(Options.boolean("dry-run")), { name: "outer" })
      expect((yield* run(twice, ["--dry-run"])).out.length).toBe(1)
      const wrong = Command.make("own", { dry: Options.boolean("dry-run") }, () => Effect.void)
      expect(String(defectOf((yield* run(AirlockCommand.scoped(AirlockCommand.scoped(wrong)), [])).exit)))
        .toContain("the key `dryRun`")
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("does not run if its key is not dryRun, because its value cannot be found", () =>
    Effect.gen(function*() {
      const command = AirlockCommand.scoped(Command.make("own", { dry: Options.boolean("dry-run") }, () => note("a")))
      expect(String(defectOf((yield* run(command, ["--dry-run"])).exit))).toContain("the key `dryRun`")
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))
})

describe("subcommands", () => {
  const group = Command.make("group", { verbose: Options.boolean("verbose") })
  const sub = Command.make(
    "sub",
    { text: Args.text({ name: "text" }) },
    ({ text }) => Effect.flatMap(group, ({ verbose }) => note(`${text} ${verbose}`))
  )

  const unchecked = Command.provide(sub, Airlock.unchecked)

  it.effect("can be in a scope each, with an option for dry runs each", () =>
    Effect.gen(function*() {
      const command = group.pipe(Command.withSubcommands([AirlockCommand.scoped(sub)]))
      for (const parent of [command, AirlockCommand.scoped(command)]) {
        const { out } = yield* run(parent, ["--verbose", "sub", "--dry-run", "a"])
        expect(out.length).toBe(1)
        expect(out[0]).toContain("Dry run of \"sub\"")
        expect(yield* left).toEqual([])
      }
      yield* run(command, ["--verbose", "sub", "a"])
      expect(yield* left).toEqual(["a true"])
    }).pipe(Effect.provide(recorder())))

  it.effect("run in the scope of their parent, and its option holds for them", () =>
    Effect.gen(function*() {
      const after = group.pipe(Command.withSubcommands([sub]), AirlockCommand.scoped)
      const before = group.pipe(AirlockCommand.scoped, Command.withSubcommands([unchecked]))
      for (const command of [after, before]) {
        expect((yield* run(command, ["--dry-run", "sub", "a"])).out[0]).toContain("Dry run of \"group\"")
        expect(yield* left).toEqual([])
      }
      yield* run(after, ["--verbose", "sub", "b"])
      yield* run(before, ["sub", "c"])
      expect(yield* left).toEqual(["b true", "c false"])
    }).pipe(Effect.provide(recorder())))

  it.effect("in scopes of their own are part of the dry run of their parent", () =>
    Effect.gen(function*() {
      const command = group.pipe(Command.withSubcommands([AirlockCommand.scoped(sub)]), AirlockCommand.scoped)
      const ran = yield* run(command, ["--dry-run-json", "sub", "a"])
      expect(ran.out.length).toBe(1)
      expect(reportOf(ran)).toMatchObject({ command: "group", intents: 1 })
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("are in the help of a group that has no handler, beside its options", () =>
    Effect.gen(function*() {
      const command = group.pipe(AirlockCommand.scoped, Command.withSubcommands([unchecked]))
      const { exit, out } = yield* run(command)
      expect(exit).toEqual(Exit.void)
      expect(out.join("\n")).toContain("--dry-run")
      expect(out.join("\n")).toContain("sub")
    }).pipe(Effect.provide(recorder())))
})

describe("AirlockCommand.runForEachChunk", () => {
  /** Runs it in a command, over the numbers from 1 to 5 in chunks of 2. */
  const chunked = <E, R>(
    f: (chunk: ReadonlyArray<number>) => Effect.Effect<unknown, E, R>,
    options: WithoutTransaction = {}
  ) =>
    Command.make("chunked", {}, () =>
      Stream.range(1, 5).pipe(
        AirlockCommand.runForEachChunk((chunk) => f(Chunk.toReadonlyArray(chunk)), { size: 2, ...options })
      ))

  it.effect("lets the intents of each chunk leave before the next chunk begins", () =>
    Effect.gen(function*() {
      const seen: Array<ReadonlyArray<string>> = []
      const command = chunked((chunk) => Effect.zipRight(notes(chunk), Effect.map(left, (texts) => seen.push(texts))))
      expect((yield* run(AirlockCommand.scoped(command))).exit).toEqual(Exit.void)
      expect(seen).toEqual([[], ["1", "2"], ["1", "2", "3", "4"]])
      expect(yield* left).toEqual(["1", "2", "3", "4", "5"])
    }).pipe(Effect.provide(recorder())))

  it.effect("a chunk that fails discards its intents and ends the run, and what left before has left", () =>
    Effect.gen(function*() {
      const command = chunked((chunk) =>
        Effect.zipRight(notes(chunk), chunk.includes(4) ? Effect.fail("no" as const) : Effect.void)
      )
      const { exit, out } = yield* run(AirlockCommand.scoped(command))
      expect(exit).toEqual(Exit.fail("no"))
      expect(yield* left).toEqual(["1", "2"])
      expect(out).toEqual(["stopped after 2 elements in 0 s"])
    }).pipe(Effect.provide(recorder())))

  it.effect("an intent that cannot leave ends the run with the FlushError of its chunk", () =>
    Effect.gen(function*() {
      const command = chunked((chunk) => note(chunk.includes(3) ? "fail" : `${chunk}`), { name: "mine" })
      const { exit } = yield* run(AirlockCommand.scoped(command))
      expect(failureOf(exit)).toMatchObject({ _tag: "FlushError", scope: "mine" })
      expect(yield* left).toEqual(["1,2"])
    }).pipe(Effect.provide(recorder())))

  it.effect("an interruption discards the intents of the running chunk, and no other chunk begins", () =>
    Effect.gen(function*() {
      const inThird = yield* Deferred.make<void>()
      const printed = nothingPrinted()
      const command = chunked((chunk) =>
        Effect.zipRight(
          notes(chunk),
          chunk.includes(3) ? Deferred.succeed(inThird, undefined).pipe(Effect.zipRight(Effect.never)) : Effect.void
        )
      )
      const fiber = yield* Command.run(AirlockCommand.scoped(command), { name: "test", version: "1" })(["node", "test"])
        .pipe(printingTo(printed), Effect.fork)
      yield* Deferred.await(inThird)
      const exit = yield* Fiber.interrupt(fiber)
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(yield* left).toEqual(["1", "2"])
      expect(printed.out).toEqual(["stopped after 2 elements in 0 s"])
    }).pipe(Effect.provide(recorder())))

  it.effect("holds the policy of the command in all chunks, and its own", () =>
    Effect.gen(function*() {
      const drops = (text: string) =>
        Policy.make({
          name: `no ${text}`,
          allows: ({ payload }) =>
            Effect.succeed((payload as { readonly text: string }).text !== text || { drop: text })
        })
      const command = chunked(notes, { policy: drops("2") })
      yield* run(AirlockCommand.scoped(command, { policy: drops("4") }))
      expect(yield* left).toEqual(["1", "3", "5"])
    }).pipe(Effect.provide(recorder())))

  it.effect("asks the approval of the outermost command for the plan of each chunk", () =>
    Effect.gen(function*() {
      const plans: Array<number> = []
      const options = {
        approve: ({ entries }: { readonly entries: ReadonlyArray<unknown> }) =>
          Effect.sync(() => plans.push(entries.length) === 2)
      }
      const inner = AirlockCommand.scoped(chunked(notes), { approve: () => Effect.dieMessage("not asked") })
      const group = Command.make("group").pipe(Command.withSubcommands([inner]), AirlockCommand.scoped(options))
      expect((yield* run(AirlockCommand.scoped(chunked(notes), options))).exit).toEqual(Exit.void)
      expect(plans).toEqual([2, 2, 1])
      expect(yield* left).toEqual(["3", "4"])
      plans.length = 0
      yield* run(group, ["chunked"])
      expect(plans).toEqual([2, 2, 1])
      expect(yield* left).toEqual(["3", "4", "3", "4"])
    }).pipe(Effect.provide(recorder())))

  it.effect("has the executor of the command in all chunks that have none of their own", () =>
    Effect.gen(function*() {
      const used: Array<string> = []
      const named = (name: string) =>
        Executor.make({
          name,
          dispatch: (intents) => {
            used.push(name)
            return Effect.succeed(intents.map(() => Exit.void))
          }
        })
      yield* run(AirlockCommand.scoped(chunked(notes), { executor: named("command") }))
      yield* run(
        AirlockCommand.scoped(chunked(notes, { executor: named("chunk"), size: 5 }), { executor: named("command") })
      )
      expect(used).toEqual(["command", "command", "command", "chunk"])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("has no part in another scope around it", () =>
    Effect.gen(function*() {
      const command = Command.make("around", {}, () =>
        AirlockCommand.runForEachChunk(Stream.range(1, 2), (chunk) =>
          notes(Chunk.toReadonlyArray(chunk))).pipe(
            Airlock.scoped({
              policy: Policy.dropAll,
              approve: () =>
                Effect.succeed(false)
            })
          ))
      yield* run(AirlockCommand.scoped(command))
      expect(yield* left).toEqual(["1", "2"])
    }).pipe(Effect.provide(recorder())))

  it.effect("runs more intents than a scope holds", () =>
    Effect.gen(function*() {
      const command = AirlockCommand.scoped(chunked(notes))
      yield* run(command)
      expect((yield* left).length).toBe(5)
      expect(reportOf(yield* run(command, ["--dry-run-json"])).intents).toBe(5)
    }).pipe(Effect.provide(recorder({ maxIntents: 2 }))))

  it.effect("a dry run prints one report of all chunks, with the first rows only", () =>
    Effect.gen(function*() {
      const command = AirlockCommand.scoped(chunked(notes), { rows: 3 })
      const { exit, out } = yield* run(command, ["--dry-run"])
      expect(exit).toEqual(Exit.void)
      expect(yield* left).toEqual([])
      expect(out.length).toBe(2)
      expect(out[0]).toBe("dry run: 5 elements in 0 s")
      expect(out[1]).toContain("5 of 5 intents would leave")
      expect(out[1]).toContain("The first 3 of 5 intents:")
    }).pipe(Effect.provide(recorder())))

  it.effect("a dry run as JSON prints its progress to standard error", () =>
    Effect.gen(function*() {
      const ran = yield* run(AirlockCommand.scoped(chunked(notes)), ["--dry-run-json"], { columns: 80 })
      expect(ran.out.length).toBe(1)
      expect(reportOf(ran)).toMatchObject({ intents: 5, dispatched: 5 })
      expect(ran.err).toEqual(["dry run: 5 elements in 0 s"])
      expect(ran.screen).toEqual([])
    }).pipe(Effect.provide(recorder())))

  it.effect("runs in a program without a command, too", () =>
    Effect.gen(function*() {
      yield* AirlockCommand.runForEachChunk(Stream.range(1, 3), () => note("a"), { size: 2 }).pipe(
        printingTo(nothingPrinted())
      )
      expect(yield* left).toEqual(["a", "a"])
    }).pipe(Effect.provide(recorder())))
})

onEachDatabase((database) => {
  const layer = decorated(database)

  describe("with rollback", () => {
    const insert = AirlockCommand.scoped(
      Command.make(
        "insert",
        { name: Args.text({ name: "name" }), fails: Options.boolean("fails") },
        ({ fails, name }) =>
          Effect.all([
            insertOrder(name),
            note(name),
            SqlTransaction.transaction(note("inner")),
            fails ? Effect.fail("no") : Effect.void
          ])
      ),
      { rollback: true }
    )

    it.scoped("a command is a transaction, and its intents leave after the COMMIT", () =>
      Effect.gen(function*() {
        expect(Exit.isSuccess((yield* run(insert, ["a"])).exit)).toBe(true)
        expect([yield* orders, yield* left]).toEqual([["a"], ["a", "inner"]])
        expect((yield* run(insert, ["--fails", "b"])).exit).toEqual(Exit.fail("no"))
        expect([yield* orders, yield* left]).toEqual([["a"], ["a", "inner"]])
      }).pipe(Effect.provide(layer)))

    it.scoped("a dry run rolls the transaction back, and reports what would have left", () =>
      Effect.gen(function*() {
        const ran = yield* run(insert, ["--dry-run-json", "a"])
        expect(ran.exit).toEqual(Exit.void)
        expect(reportOf(ran)).toMatchObject({ intents: 2, dispatched: 2 })
        expect([yield* orders, yield* left]).toEqual([[], []])
      }).pipe(Effect.provide(layer)))

    it.scoped("a subcommand in the dry run of its parent is rolled back, too", () =>
      Effect.gen(function*() {
        const command = Command.make("group").pipe(Command.withSubcommands([insert]), AirlockCommand.scoped)
        expect(reportOf(yield* run(command, ["--dry-run-json", "insert", "a"])).intents).toBe(2)
        expect([yield* orders, yield* left]).toEqual([[], []])
      }).pipe(Effect.provide(layer)))

    it.scoped("a subcommand that is tried out inside the transaction of its parent is rolled back, and lets nothing leave", () =>
      Effect.gen(function*() {
        const group = (sub: typeof insert) =>
          Command.make("group").pipe(Command.withSubcommands([sub]), AirlockCommand.scoped({ rollback: true }))
        const ran = yield* run(group(insert), ["insert", "--dry-run-json", "a"])
        expect(ran.exit).toEqual(Exit.void)
        expect(reportOf(ran)).toMatchObject({ command: "insert", intents: 2 })
        expect([yield* orders, yield* left]).toEqual([[], []])
        const independent = Command.transformHandler(
          insert,
          (handler) => Effect.zipRight(handler, Airlock.scoped({ independent: true })(note("b")))
        )
        const { exit } = yield* run(group(AirlockCommand.scoped(independent)), ["insert", "--dry-run", "a"])
        expect(defectOf(exit)).toMatchObject({ _tag: "UnseenTransactionError" })
        expect([yield* orders, yield* left]).toEqual([[], []])
      }).pipe(Effect.provide(layer)))

    it.scoped("without it, a dry run keeps what the command writes", () =>
      Effect.gen(function*() {
        const command = AirlockCommand.scoped(
          Command.make("insert", {}, () => Effect.zipRight(insertOrder("a"), note("a")))
        )
        yield* run(command, ["--dry-run"])
        expect([yield* orders, yield* left]).toEqual([["a"], []])
      }).pipe(Effect.provide(layer)))
  })

  describe("AirlockCommand.runForEachChunk with transactions", () => {
    const inTransactions = <E, R>(f: (chunk: ReadonlyArray<number>) => Effect.Effect<unknown, E, R>) =>
      Command.make(
        "chunked",
        {},
        () =>
          AirlockCommand.runForEachChunk(Stream.range(1, 5), (chunk) => f(Chunk.toReadonlyArray(chunk)), {
            size: 2,
            transaction: true
          })
      )

    it.scoped("with transactions, each chunk is one, which a failure rolls back", () =>
      Effect.gen(function*() {
        const command = inTransactions((chunk) =>
          Effect.all([insertOrder(`${chunk}`), notes(chunk), chunk.includes(4) ? Effect.fail("no") : Effect.void])
        )
        expect((yield* run(AirlockCommand.scoped(command))).exit).toEqual(Exit.fail("no"))
        expect([yield* orders, yield* left]).toEqual([["1,2"], ["1", "2"]])
      }).pipe(Effect.provide(layer)))

    it.scoped("a dry run with transactions rolls each chunk back, and reports all of them", () =>
      Effect.gen(function*() {
        const command = inTransactions((chunk) => Effect.all([insertOrder(`${chunk}`), notes(chunk)]))
        const ran = yield* run(AirlockCommand.scoped(command), ["--dry-run-json"])
        expect(reportOf(ran)).toMatchObject({ intents: 5, dispatched: 5 })
        expect([yield* orders, yield* left]).toEqual([[], []])
      }).pipe(Effect.provide(layer)))

    it.scoped("in the one transaction of a command, the chunks leave with it, and a dry run reports them", () =>
      Effect.gen(function*() {
        const command = AirlockCommand.scoped(
          inTransactions(
            (chunk) =>
              Effect.all([
                insertOrder(`${chunk}`),
                notes(chunk),
                Effect.map(left, (texts) => expect(texts).toEqual([]))
              ])
          ),
          { rollback: true }
        )
        expect(reportOf(yield* run(command, ["--dry-run-json"]))).toMatchObject({ intents: 5 })
        expect([yield* orders, yield* left]).toEqual([[], []])
        expect((yield* run(command)).exit).toEqual(Exit.void)
        expect([yield* orders, yield* left]).toEqual([["1,2", "3,4", "5"], ["1", "2", "3", "4", "5"]])
      }).pipe(Effect.provide(layer)))
  })
})

describe("progress", () => {
  /** A command of 4 chunks of 25, each of which takes some time. */
  const slow = (time: string, options: WithoutTransaction = {}) =>
    AirlockCommand.scoped(
      Command.make("slow", {}, () =>
        Stream.range(1, 100).pipe(
          AirlockCommand.runForEachChunk(() => TestClock.adjust(time as "1 second"), { size: 25, ...options })
        ))
    )

  it.effect("is lines where there is no terminal, at most one each 5 seconds, and one at the end", () =>
    Effect.gen(function*() {
      const { out, screen } = yield* run(slow("3 seconds", { total: 100, unit: "orders" }))
      expect(screen).toEqual([])
      expect(out).toEqual([
        "50 of 100 orders (50%) in 6 s",
        "100 of 100 orders (100%) in 12 s",
        "100 of 100 orders (100%) in 12 s"
      ])
      expect((yield* run(slow("40 seconds"))).out).toEqual([
        "25 elements in 40 s",
        "50 elements in 1 min 20 s",
        "75 elements in 2 min 0 s",
        "100 elements in 2 min 40 s",
        "100 elements in 2 min 40 s"
      ])
    }).pipe(Effect.provide(recorder())))

  it.effect("is a bar on a terminal, which is drawn anew, and a line of its own at the end", () =>
    Effect.gen(function*() {
      const { out, screen } = yield* run(slow("1 second", { total: 100, unit: "orders" }), [], { columns: 80 })
      expect(out).toEqual([])
      expect(screen).toEqual([
        "\r[########----------------------]  25%  25/100 orders  25/s  3 s left\u001b[K",
        "\r[###############---------------]  50%  50/100 orders  25/s  2 s left\u001b[K",
        "\r[#######################-------]  75%  75/100 orders  25/s  1 s left\u001b[K",
        "\r[##############################] 100%  100/100 orders  25/s\u001b[K",
        "\r[##############################] 100%  100/100 orders  25/s\u001b[K",
        "\n"
      ])
      const narrow = yield* run(slow("1 second", { total: 100 }), [], { columns: 40 })
      expect(narrow.screen[0]).toBe("\r[########----------------------]  25%  \u001b[K")
      const unknown = yield* run(slow("10 millis"), [], { columns: 80 })
      expect(unknown.screen).toEqual(["\r100 elements  2500/s\u001b[K", "\n"])
    }).pipe(Effect.provide(recorder())))

  it.effect("of more elements than were counted does not exceed the bar, and of none is complete", () =>
    Effect.gen(function*() {
      const { screen } = yield* run(slow("1 second", { total: 50 }), [], { columns: 80 })
      expect(screen.at(-2)).toBe("\r[##############################] 100%  100/50 elements  25/s\u001b[K")
      const none = AirlockCommand.scoped(
        Command.make(
          "none",
          {},
          () => AirlockCommand.runForEachChunk(Stream.empty, () => note("a"), { total: 0, unit: "orders" })
        )
      )
      expect((yield* run(none)).out).toEqual(["0 of 0 orders (100%) in 0 s"])
    }).pipe(Effect.provide(recorder())))

  it.effect("says on a terminal where a run was stopped", () =>
    Effect.gen(function*() {
      const command = AirlockCommand.scoped(
        Command.make("stops", {}, () =>
          AirlockCommand.runForEachChunk(Stream.range(1, 2), () =>
            Effect.fail("no"), { total: 2 }))
      )
      const { screen } = yield* run(command, [], { columns: 80 })
      expect(screen).toEqual([
        "\r[------------------------------]   0%  0/2 elements\u001b[K",
        "\nstopped after 0 of 2 elements (0%) in 0 s\n"
      ])
    }).pipe(Effect.provide(recorder())))
})

describe("AirlockCommand.teardown", () => {
  const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
    let code = -1
    AirlockCommand.teardown(exit, (given) => {
      code = given
    })
    return code
  }

  it("is 130 for an interruption, 1 for a failure and 0 for a success", () => {
    expect([Exit.interrupt({} as never), Exit.fail("no"), Exit.void].map(codeOf)).toEqual([130, 1, 0])
  })
})

describe("the commands of the Python original", () => {
  const pending = [1, 2, 3]
  const process = Effect.forEach(pending, (order) => note(`${order}`), { discard: true })
  const names = Effect.map(AirlockTest.Recorded, (recorded) => recorded.map(({ payload }) => payload))

  it.effect("scoped: side effects dispatch after handle() completes, and are discarded if it raises", () =>
    Effect.gen(function*() {
      const command = (end: Effect.Effect<void, string>) =>
        AirlockCommand.scoped(Command.make("handle", {}, () =>
          Effect.gen(function*() {
            yield* process
            expect(yield* names).toEqual([])
            yield* end
          })))
      yield* run(command(Effect.fail("no")))
      expect(yield* names).toEqual([])
      yield* run(command(Effect.void))
      expect(yield* names).toEqual(pending.map((order) => ({ text: `${order}` })))
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("dry run: the orders are processed, and nothing is dispatched", () =>
    Effect.gen(function*() {
      // parser.add_argument('--dry-run'); policy = DropAll() if options['dry_run'] else AllowAll()
      const byHand = Command.make("handle", { dryRun: Options.boolean("dry-run") }, ({ dryRun }) =>
        process.pipe(Airlock.scoped({ policy: dryRun ? Policy.dropAll : Policy.allowAll })))
      const processed: Array<number> = []
      const here = AirlockCommand.scoped(
        Command.make("handle", {}, () =>
          Effect.zipRight(
            process,
            Effect.sync(() =>
              processed.push(...pending)
            )
          ))
      )
      for (const command of [byHand, here] as const) {
        yield* run(command as typeof here, ["--dry-run"])
        expect(yield* names).toEqual([])
      }
      expect(processed).toEqual(pending)
      yield* run(byHand)
      yield* run(here)
      expect((yield* names).length).toBe(6)
    }).pipe(Effect.provide(AirlockTest.layer())))
})
