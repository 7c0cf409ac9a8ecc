/**
 * The programs that the test draws: nested transactions on a real database, with all that can come between a row and its
 * intent.
 */
import * as fc from "effect/FastCheck"

export type Step =
  /** A row, and the intent that must share its fate. */
  | { readonly _tag: "Order", id: number }
  /** A statement that fails, and whose error is caught. */
  | { readonly _tag: "CaughtFailure" }
  /** What the database refuses when it commits, where it checks then. */
  | { readonly _tag: "Dangling", id: number }
  | { readonly _tag: "End", readonly how: "fail" | "die" | "interrupt" }
  | { readonly _tag: "Recover", readonly block: Block }
  /** A transaction; inside another one a savepoint. `typed` is `SqlTransaction.transaction`. */
  | { readonly _tag: "Transaction", readonly typed: boolean, readonly block: Block }
  | { readonly _tag: "Scope", readonly dropOdd: boolean, readonly block: Block }
  /** Transactions in fibers of their own, really at once; what fails among them is recovered. */
  | { readonly _tag: "Side", readonly blocks: ReadonlyArray<Block> }
  | { readonly _tag: "ForkJoin", readonly block: Block }
  /** A transaction that commits, or a savepoint, in the loser of a race. */
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

/** Ids belong to the program, so that fibers side by side cannot mix them up. */
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

/** All of it, but for interruptions from outside. */
export const program: fc.Arbitrary<Block> = drawn(true)

/** Where nothing but a transaction has a say, rows and intents are the same at any time. */
export const transactionsOnly: fc.Arbitrary<Block> = drawn(false)
