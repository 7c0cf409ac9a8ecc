/**
 * Random programs of nested scopes, policies, failures, races, forks, daemons, streams, batched requests and Promise code. The same intents must leave
 * as in the reference, in the same order, and each program must succeed or fail as the reference does.
 *
 * `npm run test:model` runs 100 000 programs. It prints the seed, and `AIRLOCK_MODEL_SEED` repeats a run.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, LogLevel } from "effect"
import { Airlock } from "effect-airlock"
import * as fc from "effect/FastCheck"
import { setImmediate as turn } from "node:timers/promises"
import { interpret } from "./interpret.js"
import { type Block, program } from "./program.js"
import { expected } from "./reference.js"
import { counting } from "./tasks.js"

const runs = Number(process.env["AIRLOCK_MODEL_RUNS"] ?? 2000)
const seed = Number(process.env["AIRLOCK_MODEL_SEED"] ?? 20_261_120)

const actual = async (block: Block) => {
  const left: Array<number> = []
  const run = { ids: 0, daemons: [] as Array<Fiber.RuntimeFiber<unknown, unknown>> }
  const exit = await Effect.runPromiseExit(
    interpret(block, run).pipe(
      Airlock.scoped,
      Effect.ensuring(Effect.suspend(() => Fiber.interruptAll(run.daemons))),
      Effect.provide(counting(left)),
      Logger.withMinimumLogLevel(LogLevel.None)
    )
  )
  // Programs run in microtasks. The test runner needs its turn too.
  await turn()
  return { left, ok: Exit.isSuccess(exit) }
}

it(`${runs} random programs dispatch what the reference does, seed ${seed}`, async () => {
  console.log(`model: ${runs} programs, seed ${seed}`)
  await fc.assert(
    fc.asyncProperty(program, async (block) => {
      expect(await actual(block)).toEqual(expected(block))
    }),
    { numRuns: runs, seed }
  )
}, 600_000)
