/**
 * Adds the options of a dry run to the descriptor of a command, and finds them in what its parser returns.
 *
 * `@effect/cli` can add subcommands to a descriptor, but no options, so this file takes the descriptor apart. Only this file
 * knows the private members of a descriptor.
 *
 * @internal
 */
import type * as Args from "@effect/cli/Args"
import * as Descriptor from "@effect/cli/CommandDescriptor"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/** How the report of a dry run is printed. @internal */
export type Format = "table" | "json"

/** The private shape of a descriptor. */
type Node =
  | { readonly _tag: "Standard", readonly options: Options.Options<unknown>, readonly args: Args.Args<unknown> }
  | { readonly _tag: "GetUserInput" }
  | {
    readonly _tag: "Map"
    readonly command: Descriptor.Command<unknown>
    readonly f: Parameters<typeof Descriptor.mapEffect<unknown, unknown>>[1]
  }
  | { readonly _tag: "Subcommands", readonly parent: Descriptor.Command<unknown> }

/** The private shape of options. */
type OptionsNode = {
  readonly _tag: string
  readonly name?: string
  readonly aliases?: ReadonlyArray<string>
  readonly options?: OptionsNode
  readonly argumentOption?: OptionsNode
  readonly left?: OptionsNode
  readonly right?: OptionsNode
}

interface Flagged {
  readonly value: unknown
  readonly format: Format | undefined
}

/** The property of a command's parsed value that asks for a dry run. Effect copies the value for subcommands, and it with it. */
const formatKey: unique symbol = Symbol.for("effect-airlock/AirlockCommand/format")

/** Options whose `--dry-run` this file has added, or has found before. */
const ours = new WeakSet<object>()

const flag = "dry-run"
const jsonFlag = "dry-run-json"

/** Adds the options `--dry-run` and `--dry-run-json`, except those that the command has. @internal */
export const withDryRun = <A>(self: Descriptor.Command<A>): Descriptor.Command<A> =>
  Descriptor.map(flagged(self), ({ format, value }) => {
    if (format !== undefined) {
      // The value of a command with options is an object of its parser.
      Object.assign(value as object, { [formatKey]: format })
    }
    return value as A
  })

const flagged = (self: Descriptor.Command<unknown>): Descriptor.Command<Flagged> => {
  const node = self as unknown as Node
  switch (node._tag) {
    case "Standard": {
      const options = Options.all([node.options, formatOptions(namesOf(node.options))])
      ours.add(options)
      return Descriptor.map(
        replace<{ readonly options: readonly [unknown, Format | undefined] }>(self, { options }),
        (value) => ({ value: { ...value, options: value.options[0] }, format: value.options[1] })
      )
    }
    case "GetUserInput":
      return Descriptor.map(self, (value) => ({ value, format: undefined }))
    case "Map":
      return Descriptor.mapEffect(
        flagged(node.command),
        ({ format, value }) => Effect.map(node.f(value), (value) => ({ value, format }))
      )
    case "Subcommands":
      // The parser adds the subcommand to the properties of the parent's value.
      return Descriptor.map(
        replace<Flagged & { readonly subcommand: unknown }>(self, { parent: flagged(node.parent) }),
        ({ format, subcommand, value }) => ({ value: { ...(value as object), subcommand }, format })
      )
    default:
      throw new Error(
        "AirlockCommand does not know the commands of this version of @effect/cli. Use a version that effect-airlock names as its peer."
      )
  }
}

/** A copy of a descriptor with other members, which make `A` of what it parses. */
const replace = <A>(self: Descriptor.Command<unknown>, members: object): Descriptor.Command<A> =>
  Object.assign(Object.create(Object.getPrototypeOf(self)), self, members)

const formatOptions = (taken: ReadonlyArray<string>): Options.Options<Format | undefined> =>
  Options.all([
    missing(taken, flag, "Shows which side effects would leave, and lets nothing leave"),
    missing(taken, jsonFlag, "The same, as JSON")
  ]).pipe(Options.map(([table, json]) => json ? "json" : table ? "table" : undefined))

const missing = (taken: ReadonlyArray<string>, name: string, description: string): Options.Options<boolean> =>
  taken.includes(name)
    ? Options.map(Options.none, () => false)
    : Options.boolean(name).pipe(Options.withDescription(description))

const namesOf = (self: Options.Options<unknown>): ReadonlyArray<string> => {
  const { aliases = [], argumentOption, left, name, options, right } = self as unknown as OptionsNode
  const inner = [options, argumentOption, left, right].filter((node) => node !== undefined)
  return [
    ...(name === undefined ? [] : [name]),
    ...aliases,
    // They are nodes of the same tree.
    ...inner.flatMap((node) => namesOf(node as unknown as Options.Options<unknown>))
  ]
}

/** Arguments in which no option of a dry run has a value. What comes after `--` is no option. @internal */
export const withoutValues = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = args.indexOf("--")
  return args.map((argument, index) =>
    end !== -1 && index > end
      ? argument
      : argument === `--${flag}=json`
      ? `--${jsonFlag}`
      : argument === `--${flag}=table`
      ? `--${flag}`
      : argument
  )
}

/** Whether a command has its own `--dry-run`. @internal */
export const hasOwnDryRun = (self: Descriptor.Command<unknown>): boolean => {
  const node = self as unknown as Node
  switch (node._tag) {
    case "Standard":
      return !ours.has(node.options) && namesOf(node.options).includes(flag)
    case "Map":
      return hasOwnDryRun(node.command)
    case "Subcommands":
      return hasOwnDryRun(node.parent)
    default:
      return false
  }
}

/**
 * Whether a parsed command asks for a dry run, by an option of {@link withDryRun} or by its own property `dryRun`, and how the
 * report is printed.
 *
 * @internal
 */
export const formatOf = (value: unknown): Format | undefined =>
  Predicate.hasProperty(value, formatKey)
    ? value[formatKey] as Format
    : Predicate.hasProperty(value, "dryRun")
    ? formatOfOwn(value.dryRun)
    : undefined

const formatOfOwn = (value: unknown): Format | undefined =>
  Option.isOption(value)
    ? formatOfOwn(Option.getOrUndefined(value))
    : value === "json"
    ? "json"
    : value === undefined || value === false
    ? undefined
    : "table"
