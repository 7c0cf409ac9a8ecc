/**
 * The random programs of the model test: everything that can happen between an enqueue and its dispatch in one process.
 */
import * as fc from "effect/FastCheck"

export type PolicyKind = "none" | "dropAll" | "dropOdd" | "limit"

export type Step =
  | { readonly _tag: "Enqueue", readonly fails: boolean }
  | { readonly _tag: "End", readonly how: "fail" | "die" | "interrupt" }
  /** Recovers a failure of its block in the same fiber. */
  | { readonly _tag: "Recover", readonly block: Block }
  | { readonly _tag: "Region", readonly policy: PolicyKind, readonly block: Block }
  | {
    readonly _tag: "Scope"
    readonly policy: PolicyKind
    readonly independent: boolean
    /** `shouldFlush` is true for every exit. */
    readonly always: boolean
    /** `beforeDescendantFlushes` lets every intent leave early. */
    readonly eager: boolean
    readonly block: Block
  }
  /** Runs its block, and then loses a race. */
  | { readonly _tag: "Lose", readonly block: Block }
  | { readonly _tag: "ForkJoin", readonly block: Block }
  | { readonly _tag: "ForkAwait", readonly block: Block }
  /** Runs its blocks in concurrent children, one for each block. */
  | { readonly _tag: "All", readonly blocks: ReadonlyArray<Block> }
  /** Runs its block in a daemon that then never ends. */
  | { readonly _tag: "Daemon", readonly block: Block }
  /** Runs its blocks in the workers of a concurrent stream, one for each block. */
  | { readonly _tag: "Stream", readonly blocks: ReadonlyArray<Block> }

export type Block = ReadonlyArray<Step>

const policy = fc.constantFrom<PolicyKind>("none", "none", "dropAll", "dropOdd", "limit")

export const program: fc.Arbitrary<Block> = fc.letrec<{ readonly block: Block, readonly step: Step }>((tie) => ({
  block: fc.array(tie("step"), { maxLength: 4, depthIdentifier: "block" }),
  step: fc.oneof(
    { maxDepth: 4, depthIdentifier: "block" },
    {
      weight: 8,
      arbitrary: fc.record({
        _tag: fc.constant("Enqueue" as const),
        fails: fc.integer({ min: 0, max: 9 }).map((n) => n === 0)
      })
    },
    {
      weight: 1,
      arbitrary: fc.record({
        _tag: fc.constant("End" as const),
        how: fc.constantFrom("fail" as const, "die" as const, "interrupt" as const)
      })
    },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Recover" as const), block: tie("block") }) },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Region" as const), policy, block: tie("block") }) },
    {
      weight: 5,
      arbitrary: fc.record({
        _tag: fc.constant("Scope" as const),
        policy,
        independent: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
        always: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
        eager: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
        block: tie("block")
      })
    },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Lose" as const), block: tie("block") }) },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("ForkJoin" as const), block: tie("block") }) },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("ForkAwait" as const), block: tie("block") }) },
    {
      weight: 1,
      arbitrary: fc.record({
        _tag: fc.constant("All" as const),
        blocks: fc.array(tie("block"), { minLength: 2, maxLength: 3 })
      })
    },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Daemon" as const), block: tie("block") }) },
    {
      weight: 1,
      arbitrary: fc.record({
        _tag: fc.constant("Stream" as const),
        blocks: fc.array(tie("block"), { minLength: 1, maxLength: 3 })
      })
    }
  )
})).block
