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
import * as Inspectable from "effect/Inspectable"
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
  | {
    readonly _tag: "Subcommands"
    readonly parent: Descriptor.Command<unknown>
    readonly children: ReadonlyArray<Descriptor.Command<unknown>>
  }

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
      if (!hasOwnDryRun(self)) {
        ours.add(options)
      }
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

const namesOf = (self: Options.Options<unknown>): ReadonlyArray<string> =>
  nodesOf(self).flatMap(({ aliases = [], name }) => name === undefined ? aliases : aliases.concat(name))

const nodesOf = (self: Options.Options<unknown>): ReadonlyArray<OptionsNode> => {
  const node = self as unknown as OptionsNode
  const inner = [node.options, node.argumentOption, node.left, node.right].filter((inner) => inner !== undefined)
  // They are nodes of the same tree.
  return [node, ...inner.flatMap((inner) => nodesOf(inner as unknown as Options.Options<unknown>))]
}

/** All options of a command and its subcommands with a name. */
const allNamed = (self: Descriptor.Command<unknown>, name: string): ReadonlyArray<OptionsNode> => {
  const node = self as unknown as Node
  switch (node._tag) {
    case "Standard":
      return nodesOf(node.options).filter((option) => option.name === name || option.aliases?.includes(name))
    case "Map":
      return allNamed(node.command, name)
    case "Subcommands":
      return [node.parent, ...node.children].flatMap((command) => allNamed(command, name))
    default:
      return []
  }
}

/** Arguments of a command line that the parser of `@effect/cli` reads as they are meant. @internal */
export interface Rewritten {
  readonly args: ReadonlyArray<string>
  /** Whether they ask for a dry run, by an option that has no values but `true` and `false`. */
  readonly asksForDryRun: boolean
}

/**
 * Gives each option of a dry run the value `true`, because the parser takes a next argument such as `0` or `no` for its value.
 * What comes after `--` is no option. An option of the application that has other values keeps them.
 *
 * @internal
 */
export const rewriter = (self: Descriptor.Command<unknown>): (args: ReadonlyArray<string>) => Rewritten => {
  const isFlag = (name: string): boolean => {
    const options = allNamed(self, name)
    return options.length > 0 &&
      options.every((option) => Options.isBool(option as unknown as Options.Options<unknown>))
  }
  const flags = [flag, jsonFlag].filter(isFlag)
  return (args) => {
    const end = args.includes("--") ? args.indexOf("--") : args.length
    let asksForDryRun = false
    const rewrite = (argument: string): string => {
      const [, name = "", value = "true"] = /^--([^=]+)(?:=(.*))?$/.exec(argument) ?? []
      const option = flags.find((flag) => flag === name.toLowerCase())
      if (option === undefined || falseValues.has(value)) {
        return argument
      }
      asksForDryRun = true
      return option === flag && value === "json" && flags.includes(jsonFlag)
        ? `--${jsonFlag}=true`
        : value === "true" || (option === flag && value === "table")
        ? `--${name}=true`
        : argument
    }
    return { args: [...args.slice(0, end).map(rewrite), ...args.slice(end)], asksForDryRun }
  }
}

/** The values that the parser takes for `false`. */
const falseValues: ReadonlySet<string> = new Set(["false", "0", "n", "no", "off"])

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
 * How the report of a dry run is printed that a parsed command asks for by an option of {@link withDryRun}, or by the property
 * `dryRun` of a command that has its own `--dry-run`. Dies if that property says neither yes nor no.
 *
 * @internal
 */
export const formatOf = (value: unknown, hasOwn: boolean): Effect.Effect<Format | undefined> =>
  Predicate.hasProperty(value, formatKey)
    ? Effect.succeed(value[formatKey] as Format)
    : hasOwn && Predicate.hasProperty(value, "dryRun")
    ? formatOfOwn(value.dryRun)
    : Effect.succeed(undefined)

const formatOfOwn = (value: unknown): Effect.Effect<Format | undefined> => {
  if (Option.isOption(value)) {
    return formatOfOwn(Option.getOrUndefined(value))
  }
  switch (value) {
    case undefined:
    case false:
      return Effect.succeed(undefined)
    case true:
    case "table":
      return Effect.succeed("table")
    case "json":
      return Effect.succeed("json")
    default:
      return Effect.dieMessage(
        `AirlockCommand.scoped does not know whether ${
          Inspectable.toStringUnknown(value)
        } asks for a dry run. Map the option ` +
          "--dry-run of the command to true, \"table\" or \"json\" for a dry run, and to false or Option.none() for none."
      )
  }
}

/** Whether a subcommand of a parsed command asks for a dry run by an option of {@link withDryRun}. @internal */
export const asksInside = (value: unknown): boolean =>
  Predicate.hasProperty(value, "subcommand") && Option.isOption(value.subcommand) && Option.isSome(value.subcommand) &&
  Array.isArray(value.subcommand.value) && asks(value.subcommand.value[1])

// A subcommand that has its own `--dry-run` knows itself what its value means.
const asks = (value: unknown): boolean =>
  Predicate.hasProperty(value, formatKey) || Predicate.hasProperty(value, "dryRun") || asksInside(value)
