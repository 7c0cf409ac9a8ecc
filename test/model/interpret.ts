/** Turns a program into an Effect. Each step uses the operators that a user would write. */
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import type { AirlockScope } from "effect-airlock"
import { Airlock, Policy } from "effect-airlock"
import type { Block, PolicyKind, Step } from "./program.js"
import { Count } from "./tasks.js"

const policyOf = (kind: PolicyKind): Policy.Policy => {
  switch (kind) {
    case "none":
      return Policy.allowAll
    case "dropAll":
      return Policy.dropAll
    case "dropOdd":
      return Policy.make({
        name: "dropOdd",
        allows: ({ payload }) =>
          Effect.succeed((payload as typeof Count.payloadSchema.Type).id % 2 === 0 || { drop: "odd" })
      })
    case "limit":
      return Policy.limit(2)
  }
}

interface Run {
  ids: number
  readonly daemons: Array<Fiber.RuntimeFiber<unknown, unknown>>
}

type Interpreted = Effect.Effect<unknown, unknown, Airlock.Airlock | AirlockScope>

export const interpret = (block: Block, run: Run): Interpreted =>
  Effect.forEach(block, (step) => interpretStep(step, run), { discard: true })

const interpretStep = (step: Step, run: Run): Interpreted => {
  switch (step._tag) {
    case "Enqueue":
      return Effect.suspend(() => Airlock.enqueue(Count, { id: run.ids++, fails: step.fails }))
    case "End":
      return step.how === "fail" ? Effect.fail("no") : step.how === "die" ? Effect.die("no") : Effect.interrupt
    case "Recover":
      return Effect.catchAllCause(interpret(step.block, run), () => Effect.void)
    case "Region":
      return interpret(step.block, run).pipe(Airlock.withPolicy(policyOf(step.policy)))
    case "Scope":
      return interpret(step.block, run).pipe(Airlock.scoped({
        policy: policyOf(step.policy),
        independent: step.independent,
        shouldFlush: (exit) => step.always || Exit.isSuccess(exit),
        beforeDescendantFlushes: (intents) => step.eager ? intents : []
      }))
    case "Lose":
      return Effect.flatMap(Deferred.make<void>(), (done) =>
        Effect.race(
          interpret(step.block, run).pipe(
            Effect.ensuring(Deferred.succeed(done, void 0)),
            Effect.zipRight(Effect.never)
          ),
          Deferred.await(done)
        ))
    case "ForkJoin":
      return Effect.flatMap(Effect.fork(interpret(step.block, run)), Fiber.join)
    case "ForkAwait":
      return Effect.flatMap(Effect.fork(interpret(step.block, run)), Fiber.await)
    case "All":
      return Effect.flatMap(
        inTurn(step.blocks, run),
        (children) => Effect.all(children, { concurrency: "unbounded", discard: true })
      )
    case "Daemon":
      return Effect.flatMap(Deferred.make<void>(), (done) =>
        plainly(interpret(step.block, run)).pipe(
          Effect.ensuring(Deferred.succeed(done, void 0)),
          Effect.zipRight(Effect.never),
          Effect.forkDaemon,
          Effect.tap((fiber) => Effect.sync(() => run.daemons.push(fiber))),
          Effect.zipLeft(Deferred.await(done)),
          // A daemon that failed must have ended before its scope goes on.
          Effect.zipLeft(Effect.repeatN(Effect.yieldNow(), 3))
        ))
    case "Stream":
      return Effect.flatMap(inTurn(step.blocks, run), (children) =>
        Stream.fromIterable(children).pipe(
          Stream.mapEffect((child) => child, { concurrency: children.length + 1 }),
          Stream.runDrain
        ))
  }
}

/**
 * Turns a defect or an interruption into a failure: what a daemon or worker enqueues is decided differently if it is
 * interrupted.
 */
const plainly = (self: Interpreted): Interpreted => Effect.catchAllCause(self, () => Effect.fail("no"))

/**
 * Effects for concurrent fibers. Each runs its block after the one before it, and ends when all have run: so the order
 * of their intents is known, and no failure interrupts a sibling.
 */
const inTurn = (blocks: ReadonlyArray<Block>, run: Run) =>
  Effect.gen(function*() {
    const gates = yield* Effect.all(Array.from({ length: blocks.length + 1 }, () => Deferred.make<void>()))
    yield* Deferred.succeed(gates[0]!, void 0)
    return blocks.map((block, index) =>
      Deferred.await(gates[index]!).pipe(
        Effect.zipRight(Effect.exit(plainly(interpret(block, run)))),
        Effect.zipLeft(Deferred.succeed(gates[index + 1]!, void 0)),
        Effect.zipLeft(Deferred.await(gates[blocks.length]!)),
        // A failure interrupts the siblings, so those that succeed must have ended before.
        Effect.tap((exit) => Exit.isFailure(exit) ? Effect.repeatN(Effect.yieldNow(), 50) : Effect.void),
        Effect.flatten
      )
    )
  })
