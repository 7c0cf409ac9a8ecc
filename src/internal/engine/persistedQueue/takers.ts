/**
 * Fibers that take the elements of a `PersistedQueue`, one after the other.
 *
 * @internal
 */
import type { PersistedQueue } from "@effect/experimental/PersistedQueue"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { shortenBytes } from "../../support/printError.js"
import { storableText } from "../postgres.js"

/** What becomes of an element: an Error is a failed attempt, and `back` is none. @internal */
export type Verdict = "done" | "back" | Error

/** The worker counts the attempts. What a store does with an element that has used them up differs, and Redis's store throws. */
const unlimited = 2 ** 31 - 1

/** The maximum size of a stored error, in bytes of UTF-8. */
const maxErrorBytes = 16_384

/** What a store writes of an error. It prints causes and stacks too, and databases refuse some characters and sizes. */
const storable = ({ message }: Error): Error => {
  const stored = new Error(shortenBytes(storableText(message), maxErrorBytes))
  delete stored.stack
  return stored
}

/** The time until a fiber asks a store again that could not answer. */
const pause = "1 second"

/**
 * Starts so many fibers. Gives the Effect that stops them: they take no further element, and it waits for those that are being
 * handled.
 *
 * @internal
 */
export const startTakers = (
  queue: PersistedQueue<unknown>,
  { count, handle, name }: {
    readonly name: string
    readonly count: number
    readonly handle: (element: unknown, attempt: number) => Effect.Effect<Verdict>
  }
): Effect.Effect<Effect.Effect<void>> =>
  Effect.gen(function*() {
    let isStopping = false
    // An interruption while an element is being handled would give it back, although its handler goes on.
    const handling = new Set<number>()

    const takeOne = (index: number): Effect.Effect<void> =>
      Effect.gen(function*() {
        let verdict: Verdict | undefined
        const exit = yield* Effect.exit(queue.take((element, { attempts }) =>
          Effect.suspend(() => {
            handling.add(index)
            return Effect.flatMap(handle(element, attempts + 1), (given) => {
              verdict = given
              return given === "done" ? Effect.void : given === "back" ? Effect.interrupt : Effect.fail(storable(given))
            })
          }), { maxAttempts: unlimited }))
        handling.delete(index)
        if (Exit.isFailure(exit) && (verdict === undefined || verdict === "done")) {
          yield* Effect.logWarning(`The store of the queue "${name}" failed`, exit.cause)
          yield* Effect.sleep(pause)
        }
      })

    const fibers = yield* Effect.forEach(
      Array.from({ length: count }, (_, index) => index),
      (index) => Effect.forkDaemon(Effect.repeat(takeOne(index), { while: () => !isStopping }))
    )
    return Effect.suspend(() => {
      isStopping = true
      return Effect.forEach(
        fibers,
        (fiber, index) => handling.has(index) ? Fiber.await(fiber) : Fiber.interrupt(fiber),
        { concurrency: "unbounded", discard: true }
      )
    })
  })
