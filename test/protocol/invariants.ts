/**
 * What must hold in every state of the model: `docs/semantics.md` has the sentences.
 */
import type { History, Options, Row, State, Writer } from "./model.js"

interface One {
  readonly row: Row
  readonly writer: Writer
  readonly history: History
  /** Those of the other rows. */
  readonly others: ReadonlyArray<History>
  readonly options: Options
}

type Invariant = (one: One) => boolean

const isGone = ({ state }: Row): boolean => state === "none" || state === "discarded"

/** By what they say. */
export const invariants: Readonly<Record<string, Invariant>> = {
  "a row that was not committed never runs": ({ history, row }) =>
    history.committed || (row.state === "none" && history.effects === 0),
  "a row whose outer scope failed never runs, unless it expired before the discard": ({ history }) =>
    history.decided !== "failure" || history.expired || history.effects === 0,
  "a row that expired runs never, if it was to be discarded": ({ history, options }) =>
    options.onExpiry !== "discard" || !history.expired || history.effects === 0,
  "only a failed scope, an expiry or a duplicate discards a row": ({ history, options, row }) =>
    row.state !== "discarded" || history.decided === "failure" || history.duplicate ||
    (history.expired && options.onExpiry === "discard"),
  "an acknowledged row has run": ({ history, row }) => row.state !== "acknowledged" || history.effects > 0,
  "a dead letter has used its attempts": ({ options: { maxAttempts = 2 }, row }) =>
    row.state !== "dead" || row.attempts >= maxAttempts,
  "a row has no more attempts than it may have": ({ options: { maxAttempts = 2 }, row }) => row.attempts <= maxAttempts,
  "a row runs once, and once more for each run whose result was not stored": ({ history }) =>
    history.effects <= 1 + history.windows,
  "rows of a key run one after the other, in their order, unless a lease was lost": ({ history, others }) =>
    !history.outOfOrder || others.some(({ windows }) => windows > 0)
}

/** The invariants that do not hold in a state. */
export const broken = (state: State, options: Options): ReadonlyArray<string> =>
  Object.entries(invariants).flatMap(([says, holds]) =>
    state.rows.every((row, i) =>
        holds({
          row,
          writer: state.writers[i]!,
          history: state.history[i]!,
          others: state.history.filter((_, o) => o !== i),
          options
        })
      )
      ? []
      : [says]
  )

/** Nobody has anything to do any more, and no row waits. */
export const isSettled = ({ rows, writers }: State): boolean =>
  rows.every((row) => isGone(row) || row.state === "acknowledged" || row.state === "dead") &&
  writers.every(({ at }) => at === "ended" || at === "dead")
