/** Commands, their dry runs and their chunks. */
import { inFile, type Mutant } from "./mutant.js"

const commands = ["test/AirlockCommand.test.ts"] as const

export const command: ReadonlyArray<Mutant> = [
  ...inFile("src/AirlockCommand.ts", [
    {
      breaks: "commands: a dry run of a command without chunks lets its intents leave",
      symbol: "inScope",
      replace: "if (format === undefined)",
      by: "if (format !== undefined || format === undefined)",
      tests: commands
    },
    {
      breaks: "commands: a scope inside of a dry run lets its intents leave",
      symbol: "inDryRun",
      replace: "planWith(looked, scope.executor)",
      by: "looked",
      tests: commands
    },
    {
      breaks: "commands: a dry run commits the transaction of the command",
      symbol: "inDryRun",
      replace: "Effect.flatMap((plan) => Effect.fail(new Looked(plan)))",
      by: "Effect.map((plan) => findings.add(plan))",
      tests: commands
    },
    {
      breaks: "commands: the report of a dry run lacks what scopes inside let leave early",
      symbol: "inDryRun",
      replace: "beforeDescendantFlushes: () => []",
      by: "",
      tests: commands
    },
    {
      breaks: "commands: a subcommand in a dry run of its parent does not take part in it",
      symbol: "inScope",
      replace: `inDryRun(body, around.findings, { scope: Struct.omit(scope, "executor"), transaction: rollback })`,
      by: "run(body)",
      tests: commands
    },
    {
      breaks: "commands: a command whose own --dry-run is not found runs",
      symbol: "inScope",
      replace: `ownDryRun && !Predicate.hasProperty(config, "dryRun")`,
      by: "false",
      tests: commands
    },
    {
      breaks: "commands: the policy of a command does not hold in its chunks",
      symbol: "inScope",
      replace: "policy === undefined ? transformed : Airlock.withPolicy(transformed, policy)",
      by: "transformed",
      tests: commands
    },
    {
      breaks: "commands: the intents of a chunk wait for the end of the command",
      symbol: "alone",
      replace: "{ ...command, ...scope, independent: true }",
      by: "{ ...command, ...scope }",
      tests: commands
    },
    {
      breaks: "commands: a chunk inside a transaction does not wait for its COMMIT",
      symbol: "alone",
      replace: "run(scope)",
      by: "run({ ...scope, independent: true })",
      tests: commands
    },
    {
      breaks: "commands: a chunk in a dry run lets its intents leave",
      symbol: "runForEachChunk",
      replace:
        "dryRun === undefined ? alone(body, { scope, transaction }) : inDryRun(body, dryRun.findings, { scope, transaction })",
      by: "alone(body, { scope, transaction })",
      tests: commands
    },
    {
      breaks: "commands: a chunk is no transaction",
      symbol: "alone",
      replace: "transaction ? inTransaction(body, options) : Airlock.scoped(options)(body)",
      by: "Airlock.scoped(options)(transaction ? body : body)",
      tests: commands
    },
    {
      breaks: "commands: a dry run inside of a transaction dies",
      symbol: "inDryRun",
      replace: "inside ? looked : Effect.asVoid(planWith(looked, scope.executor))",
      by: "Effect.asVoid(planWith(inside ? looked : looked, scope.executor))",
      tests: commands
    },
    {
      breaks: "commands: the approval and the executor of a command do not hold in its chunks",
      symbol: "alone",
      replace: "{ ...command, ...scope, independent: true }",
      by: "{ ...({} as typeof command), ...scope, independent: true }",
      tests: commands
    },
    {
      breaks: "commands: a dry run asks the executor of the application what it accepts",
      symbol: "planWith",
      replace: "executor === undefined",
      by: "executor === undefined || executor !== undefined",
      tests: commands
    },
    {
      breaks: "commands: a dry run whose option was taken for an argument is a real run",
      symbol: "inScope",
      replace: "(yield* FiberRef.get(asksForDryRun)) && !asksInside(config)",
      by: "false",
      tests: commands
    },
    {
      breaks: "commands: a process that Ctrl-C interrupted ends with 0",
      symbol: "teardown",
      replace: "onExit(130)",
      by: "onExit(0)",
      tests: commands
    }
  ]),
  ...inFile("src/internal/command/descriptor.ts", [
    {
      breaks: "commands: an option for a dry run that a parent has is lost for its subcommands",
      symbol: "flagged",
      replace: "({ value: { ...(value as object), subcommand }, format })",
      by: "({ value: { ...(value as object), subcommand }, format: format === undefined ? format : undefined })",
      tests: commands
    },
    {
      breaks: "commands: a command with a --dry-run of its own gets a second one",
      symbol: "missing",
      replace: "taken.includes(name)",
      by: "false && taken.includes(name)",
      tests: commands
    },
    {
      breaks: "commands: a command in two scopes takes its --dry-run for one of its own",
      symbol: "flagged",
      replace: "ours.add(options)",
      by: "",
      tests: commands
    },
    {
      breaks: "commands: an argument after -- is taken for an option of a dry run",
      symbol: "rewriter",
      replace: "args.includes(\"--\") ? args.indexOf(\"--\") : args.length",
      by: "args.length",
      tests: commands
    },
    {
      breaks: "commands: a value of another option with the key dryRun asks for a dry run",
      symbol: "formatOf",
      replace: "hasOwn && Predicate.hasProperty(value, \"dryRun\")",
      by: "(hasOwn || Predicate.hasProperty(value, \"dryRun\")) && Predicate.hasProperty(value, \"dryRun\")",
      tests: commands
    },
    {
      breaks: "commands: an argument after --dry-run is taken for its value, and the run is real",
      symbol: "rewriter",
      replace: "`--${name}=true`",
      by: "argument",
      tests: commands
    }
  ]),
  ...inFile("src/internal/command/report.ts", [
    {
      breaks: "commands: the report of a dry run grows with the intents",
      symbol: "Findings.add",
      replace: "this.entries.length < this.rows",
      by: "this.entries.length < Infinity",
      tests: commands
    },
    {
      breaks: "commands: the report of a dry run grows with the reasons",
      symbol: "Findings.count",
      replace: "this.counts.size < maxCounts",
      by: "this.counts.size < maxCounts * 1000",
      tests: commands
    }
  ]),
  ...inFile("src/internal/command/progress.ts", [
    {
      breaks: "commands: each chunk prints a line",
      symbol: "makeProgress",
      replace: "hasBar ? betweenFrames : betweenLines",
      by: "hasBar ? betweenFrames : betweenFrames",
      tests: commands
    },
    {
      breaks: "commands: progress is printed between the JSON of a dry run",
      symbol: "makeProgress",
      replace: "options.isApart ? Console.error : Console.log",
      by: "options.isApart ? Console.log : Console.log",
      tests: commands
    }
  ])
]
