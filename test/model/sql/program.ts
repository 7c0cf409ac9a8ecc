/**
 * The random programs of the model test on databases: nested transactions, with everything that can part a row from its
 * intent.
 */
import * as fc from "effect/FastCheck"

export type Step =
  /** Inserts a row and enqueues an intent. Both must stay, or neither. */
  | { readonly _tag: "Order", id: number }
  /** Runs a statement that fails, and catches its error. */
  | { readonly _tag: "CaughtFailure" }
  /** Inserts a row that violates a deferred constraint: a database that defers checks refuses the COMMIT. */
  | { readonly _tag: "Dangling", id: number }
  | { readonly _tag: "End", readonly how: "fail" | "die" | "interrupt" }
  | { readonly _tag: "Recover", readonly block: Block }
  /** Runs its block in a transaction, or in a savepoint if there is one. `typed` means `SqlTransaction.transaction`. */
  | { readonly _tag: "Transaction", readonly typed: boolean, readonly block: Block }
  | { readonly _tag: "Scope", readonly dropOdd: boolean, readonly block: Block }
  /** Runs its blocks in concurrent transactions, one fiber for each, and recovers their failures. */
  | { readonly _tag: "Side", readonly blocks: ReadonlyArray<Block> }
  | { readonly _tag: "ForkJoin", readonly block: Block }
  /** Runs its block in a transaction or savepoint in the loser of a race. */
  | { readonly _tag: "Lose", readonly block: Block }

export type Block = ReadonlyArray<Step>

const leaves = [
  { weight: 9, arbitrary: fc.constant(0).map((): Step => ({ _tag: "Order", id: 0 })) },
  { weight: 1, arbitrary: fc.constant(0).map((): Step => ({ _tag: "CaughtFailure" })) },
  { weight: 1, arbitrary: fc.constant(0).map((): Step => ({ _tag: "Dangling", id: 0 })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("fail" as const, "die" as const, "interrupt" as const).map((how): Step => ({
      _tag: "End",
      how
    }))
  }
]

const drawn = (withBranches: boolean) =>
  fc.letrec<{ readonly block: Block, readonly step: Step }>((tie) => {
    const within = <Tag extends Step["_tag"]>(_tag: Tag) => fc.record({ _tag: fc.constant(_tag), block: tie("block") })
    return {
      block: fc.array(tie("step"), { minLength: 1, maxLength: 4, size: "max" }),
      step: fc.oneof(
        { maxDepth: 5, depthSize: "max" },
        ...leaves,
        { weight: 4, arbitrary: within("Recover") },
        {
          weight: 7,
          arbitrary: fc.record({
            _tag: fc.constant("Transaction" as const),
            typed: fc.boolean(),
            block: tie("block")
          })
        },
        {
          weight: 2,
          arbitrary: fc.record({
            _tag: fc.constant("Side" as const),
            blocks: fc.array(tie("block"), { minLength: 2, maxLength: 3 })
          })
        },
        ...(withBranches
          ? [
            {
              weight: 2,
              arbitrary: fc.record({
                _tag: fc.constant("Scope" as const),
                dropOdd: fc.boolean(),
                block: tie("block")
              })
            },
            { weight: 1, arbitrary: within("ForkJoin") },
            { weight: 1, arbitrary: within("Lose") }
          ]
          : [])
      )
    }
  }).block.map((block) => {
    let ids = 0
    return numbered(block, () => ++ids)
  })

/** Ids are part of the program, so concurrent fibers cannot mix them up. */
const numbered = (block: Block, next: () => number): Block =>
  block.map((step) =>
    "id" in step
      ? { ...step, id: next() }
      : "block" in step
      ? { ...step, block: numbered(step.block, next) }
      : "blocks" in step
      ? { ...step, blocks: step.blocks.map((block) => numbered(block, next)) }
      : step
  )

/** Programs with every kind of step. None is interrupted from outside. */
export const program: fc.Arbitrary<Block> = drawn(true)

/**
 * Programs of transactions only: the intents that left are those of the committed rows, whenever one is interrupted.
 */
export const transactionsOnly: fc.Arbitrary<Block> = drawn(false)
