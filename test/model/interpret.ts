/** Turns a program into an Effect. Each step uses the operators that a user would write. */
import { Deferred, Effect, Exit, Fiber, Runtime, Stream } from "effect"
import type { AirlockScope } from "effect-airlock"
import { Airlock, Policy } from "effect-airlock"
import { batched, get } from "../support/batching.js"
import type { Block, PolicyKind, Stage, Step } from "./program.js"
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
    case "ForkAwait":
      return Effect.flatMap(
        Effect.fork(interpret(step.block, run)),
        (fiber): Interpreted =>
          Effect.ensuring(
            step._tag === "ForkJoin" ? Fiber.join(fiber) : Fiber.await(fiber),
            step.later ? Fiber.interrupt(fiber) : Effect.void
          )
      )
    case "All":
      return Effect.flatMap(
        inTurn(step.blocks, run),
        (children) => Effect.all(children, { concurrency: "unbounded", discard: true })
      )
    case "Daemon":
      return Effect.flatMap(Deferred.make<void>(), (done) =>
        plainly(interpret(step.block, run)).pipe(
          Effect.ensuring(Deferred.succeed(done, void 0)),
          Effect.zipRight(step.fate === "ends" ? Effect.void : Effect.never),
          Effect.forkDaemon,
          Effect.tap((fiber) => Effect.sync(() => run.daemons.push(fiber))),
          Effect.zipLeft(Deferred.await(done)),
          // A daemon that failed must have ended before its scope goes on.
          Effect.zipLeft(Effect.repeatN(Effect.yieldNow(), 3)),
          Effect.flatMap((fiber) => step.fate === "stopped" ? Fiber.interrupt(fiber) : Effect.void)
        ))
    case "Stream":
      return Effect.flatMap(inTurn(step.blocks, run), (children) =>
        Stream.fromIterable(children).pipe(
          Stream.mapEffect((child) => child, { concurrency: children.length + 1 }),
          Stream.runDrain
        ))
    case "Stage":
      return Stream.fromIterable(step.blocks).pipe(
        Stream.rechunk(1),
        Stream.mapEffect((block) => Effect.ignore(plainly(interpret(block, run)))),
        followedBy(step.before),
        Stream.runDrain
      )
    case "Callback":
      return Effect.flatMap(Effect.runtime<Airlock.Airlock | AirlockScope>(), (runtime) =>
        Effect.promise(async () => {
          await Promise.resolve()
          await Runtime.runPromiseExit(runtime)(plainly(interpret(step.block, run)))
        }))
    case "Batch":
      return Effect.flatMap(
        Effect.all([
          inTurn(step.items.map(({ before }) => before), run),
          inTurn(step.items.map(({ after }) => after), run)
        ]),
        ([before, after]) =>
          batched(
            step.items.map((_, index) => index),
            (index) => before[index]!.pipe(Effect.zipRight(get(index)), Effect.zipRight(after[index]!))
          )
      )
  }
}

/** A stage that runs in another fiber than the stages before it. */
const followedBy = (stage: Stage) => <E, R>(self: Stream.Stream<void, E, R>): Stream.Stream<unknown, E, R> => {
  switch (stage) {
    case "mapEffect":
      return Stream.mapEffect(self, Effect.succeed, { concurrency: 2 })
    case "flatMap":
      return Stream.flatMap(self, Stream.make, { concurrency: 2 })
    case "buffer":
      return Stream.buffer(self, { capacity: 1 })
    case "groupedWithin":
      return Stream.groupedWithin(self, 2, "1 hour")
    case "broadcast":
      return Stream.unwrapScoped(
        Effect.map(Stream.broadcast(self, 2, 4), ([one, other]) => Stream.merge(one, other))
      )
    case "zip":
      return Stream.zip(self, Stream.range(1, 10))
    case "toQueue":
      return Stream.unwrapScoped(
        Effect.map(Stream.toQueue(self), (queue) => Stream.flattenTake(Stream.fromQueue(queue)))
      )
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
