/**
 * What a fiber knows of the command that it belongs to: its dry run, whether the arguments ask for one, and what its chunks take
 * from it.
 *
 * @internal
 */
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import type { ScopedOptions } from "../contract/scope.js"
import type { Format } from "./descriptor.js"
import type { Findings } from "./report.js"

/** @internal */
export interface DryRun {
  readonly format: Format
  readonly findings: Findings
}

/** @internal */
export const currentDryRun: FiberRef.FiberRef<DryRun | undefined> = globalValue(
  Symbol.for("effect-airlock/currentDryRun"),
  () => FiberRef.unsafeMake<DryRun | undefined>(undefined)
)

/** Whether the arguments of `AirlockCommand.run` ask for a dry run. @internal */
export const asksForDryRun: FiberRef.FiberRef<boolean> = globalValue(
  Symbol.for("effect-airlock/asksForDryRun"),
  () => FiberRef.unsafeMake(false)
)

/** The options of the outermost command that hold in its chunks, too. @internal */
export type CommandScope = Pick<ScopedOptions, "approve" | "executor">

/** @internal */
export const currentCommand: FiberRef.FiberRef<CommandScope> = globalValue(
  Symbol.for("effect-airlock/currentCommand"),
  () => FiberRef.unsafeMake<CommandScope>({})
)
