/**
 * The dry run that a fiber belongs to.
 *
 * @internal
 */
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
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
