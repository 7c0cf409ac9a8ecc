/**
 * Runs commands of `@effect/cli` with arguments, and keeps what they print.
 */
import { Command } from "@effect/cli"
import { Terminal } from "@effect/platform"
import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { Console, Effect, type Exit, Layer, Mailbox, Schema } from "effect"
import * as AirlockCommand from "effect-airlock/AirlockCommand"

export interface Printed {
  /** The lines of the console, on standard output and standard error. */
  readonly out: Array<string>
  readonly err: Array<string>
  /** What was displayed on the terminal. */
  readonly screen: Array<string>
}

export interface Ran extends Printed {
  readonly exit: Exit.Exit<void, unknown>
}

export interface TerminalOptions {
  /** The width of the terminal. Default: there is no terminal. */
  readonly columns?: number
}

/** Provides a console and a terminal that keep what is printed. */
export const printingTo = (printed: Printed, { columns }: TerminalOptions = {}) => {
  const terminal = Layer.succeed(Terminal.Terminal, {
    columns: Effect.succeed(columns ?? 0),
    rows: Effect.succeed(24),
    isTTY: Effect.succeed(columns !== undefined),
    // Nobody types.
    readInput: Mailbox.make<Terminal.UserInput>(),
    readLine: Effect.never,
    display: (text) => Effect.sync(() => void printed.screen.push(text))
  })
  const keep = (lines: Array<string>) => (...words: ReadonlyArray<unknown>) =>
    Effect.sync(() => void lines.push(words.join(" ")))
  return <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Console.consoleWith(Effect.succeed), (console) =>
      self.pipe(
        Effect.withConsole({ ...console, log: keep(printed.out), error: keep(printed.err) }),
        Effect.provide(Layer.mergeAll(terminal, NodeFileSystem.layer, NodePath.layer))
      ))
}

export const nothingPrinted = (): Printed => ({ out: [], err: [], screen: [] })

/** Runs a command with arguments, by `Command.run` or by `AirlockCommand.run`. */
const runBy = (runCommand: typeof Command.run) =>
<Name extends string, R, E, A>(
  command: Command.Command<Name, R, E, A>,
  args: ReadonlyArray<string> = [],
  options?: TerminalOptions
) =>
  Effect.suspend(() => {
    const printed = nothingPrinted()
    return runCommand(command, { name: "test", version: "1" })(["node", "test", ...args]).pipe(
      printingTo(printed, options),
      Effect.exit,
      Effect.map((exit): Ran => Object.assign(printed, { exit }))
    )
  })

export const run = runBy(Command.run)
export const runByAirlock = runBy(AirlockCommand.run)

/** The report that a command printed as JSON. */
export const reportOf = ({ out }: Printed): AirlockCommand.Report =>
  Schema.decodeUnknownSync(Schema.parseJson(AirlockCommand.Report))(out[0])
