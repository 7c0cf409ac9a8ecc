/**
 * What a relay runs its rows with: the handlers of this process, or an executor to which it hands them over.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type { Handlers, WorkSource } from "../../contract/executor.js"
import type { Batching } from "./pools.js"
import type { Run } from "./run.js"

/** @internal */
export interface RunSource extends WorkSource<Run> {
  /**
   * The engine took nothing of the run: its rows wait again, in front of all others, and no attempt is counted. Returns `false` if
   * the run does not count any more.
   */
  readonly refused: (run: Run) => boolean
}

/** @internal */
export interface RelayHandlers extends Batching, Pick<Handlers, "names" | "task"> {
  readonly work: (source: RunSource) => Effect.Effect<void>
}
