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
  /** `later`: the fiber is interrupted after it has ended. */
  | { readonly _tag: "ForkJoin", readonly later: boolean, readonly block: Block }
  | { readonly _tag: "ForkAwait", readonly later: boolean, readonly block: Block }
  /** Runs its blocks in concurrent children, one for each block. */
  | { readonly _tag: "All", readonly blocks: ReadonlyArray<Block> }
  /** Runs its block in a daemon, which then ends, is stopped, or outlives the scope. */
  | { readonly _tag: "Daemon", readonly fate: "ends" | "stopped" | "runs", readonly block: Block }
  /** Runs its blocks in the workers of a concurrent stream, one for each block. */
  | { readonly _tag: "Stream", readonly blocks: ReadonlyArray<Block> }
  /** Runs its blocks one after the other in a stage of a stream, and recovers their failures. Another stage follows. */
  | { readonly _tag: "Stage", readonly before: Stage, readonly blocks: ReadonlyArray<Block> }
  /** Runs its block by the captured runtime of the fiber, in Promise code that recovers a failure. */
  | { readonly _tag: "Callback", readonly block: Block }
  /** Runs its items concurrently. Each makes a request between its blocks, and all requests are one batch. */
  | { readonly _tag: "Batch", readonly items: ReadonlyArray<{ readonly before: Block, readonly after: Block }> }

export type Stage = "mapEffect" | "flatMap" | "buffer" | "groupedWithin" | "broadcast" | "zip" | "toQueue"

export type Block = ReadonlyArray<Step>

const policy = fc.constantFrom<PolicyKind>("none", "none", "dropAll", "dropOdd", "limit")

/** Blocks of the steps that one item of a batch may have, or of all steps. */
const blocks = (ofItem: boolean): fc.Arbitrary<Block> =>
  fc.letrec<{ readonly block: Block, readonly step: Step }>((tie) => ({
    block: fc.array(tie("step"), { maxLength: 4, depthIdentifier: "block" }),
    step: fc.oneof({ maxDepth: 4, depthIdentifier: "block" }, ...steps(tie("block"), ofItem))
  })).block

const steps = (block: fc.Arbitrary<Block>, ofItem: boolean): Array<fc.WeightedArbitrary<Step>> => [
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
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Recover" as const), block }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Region" as const), policy, block }) },
  {
    weight: 5,
    arbitrary: fc.record({
      _tag: fc.constant("Scope" as const),
      policy,
      independent: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
      always: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
      eager: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
      block
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Lose" as const), block }) },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constantFrom("ForkJoin" as const, "ForkAwait" as const),
      later: fc.boolean(),
      block
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("All" as const),
      blocks: fc.array(block, { minLength: 2, maxLength: 3 })
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Daemon" as const),
      fate: fc.constantFrom("ends" as const, "stopped" as const, "runs" as const),
      block
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("Stage" as const),
      before: fc.constantFrom<Stage>(
        "mapEffect",
        "flatMap",
        "buffer",
        "groupedWithin",
        "broadcast",
        "zip",
        "toQueue"
      ),
      blocks: fc.array(block, { minLength: 1, maxLength: 3 })
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Callback" as const), block }) },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("Stream" as const),
      blocks: fc.array(block, { minLength: 1, maxLength: 3 })
    })
  },
  ...ofItem ? [] : [{
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("Batch" as const),
      items: fc.array(fc.record({ before: itemBlock, after: itemBlock }), { minLength: 1, maxLength: 3 })
    })
  }]
]

/** An item has no batch inside: the outer batch would wait for its requests too, and the items run in turn. */
const itemBlock = blocks(true)

export const program: fc.Arbitrary<Block> = blocks(false)
