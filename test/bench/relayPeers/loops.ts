/**
 * Workers that claim, run and acknowledge one batch after the other.
 */
import { Effect, Fiber } from "effect"

/** Runs `batch` in some loops until the scope closes. If it finds nothing (`false`), its loop pauses for 10 milliseconds. */
export const loops = (workers: number, batch: (worker: number) => Promise<boolean>) =>
  Effect.gen(function*() {
    const closing = new AbortController()
    const loop = async (worker: number): Promise<void> => {
      while (!closing.signal.aborted) {
        if (!await batch(worker)) {
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
      }
    }
    const running = yield* Effect.forkDaemon(
      Effect.promise(() => Promise.all(Array.from({ length: workers }, (_, worker) => loop(worker))))
    )
    yield* Effect.addFinalizer(() => {
      closing.abort()
      return Fiber.await(running)
    })
  })
