/** A small way to break the library, which some test must notice. */
export interface Mutant {
  /** The rule that the mutant breaks, and how: a sentence that no other mutant has. */
  readonly breaks: string
  readonly file: string
  /** The declaration to change: `settle`, `Relay.claim` for a member of a class, `makeStore.release` for a constant inside. */
  readonly symbol: string
  /**
   * The code to replace: expressions, statements, properties, an operator with its operand, or `text` inside a string. It
   * must occur exactly once in the symbol. Formatting and comments do not matter.
   */
  readonly replace: string | { readonly text: string }
  /** What to put there. The module must still compile. Empty: the code is removed. */
  readonly by: string
  /** The test files that notice, the quickest first. */
  readonly tests: readonly [string, ...ReadonlyArray<string>]
  /** Whether the mutant loops for ever: the run ends it, and counts that as noticed. */
  readonly hangs?: true
}

/** Mutants of one file. */
export const inFile = (file: string, mutants: ReadonlyArray<Omit<Mutant, "file">>): ReadonlyArray<Mutant> =>
  mutants.map((mutant) => ({ file, ...mutant }))
