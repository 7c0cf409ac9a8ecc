/**
 * Alternating rounds. Each contestant runs once in a round, and the order changes from round to round, so that other
 * load on the machine affects all contestants alike. Only the ratio of the medians counts.
 *
 * Before each run the young generation is collected, so that no contestant pays for the garbage of the one before. A
 * full collection would also drop optimised code whose objects have died (`--trace-deopt` shows some 50 functions each
 * time), and the run would mostly measure how fast the engine compiles.
 */
import { Effect } from "effect"

export interface Contestants {
  readonly [name: string]: Effect.Effect<unknown>
}

export const median = (numbers: ReadonlyArray<number>): number => {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

/** Gives the median milliseconds of each contestant. A contestant that gives a number is timed by it. */
export const rounds = (contestants: Contestants, options: { readonly rounds: number, readonly warmup: number }) =>
  Effect.gen(function*() {
    const names = Object.keys(contestants)
    const times = new Map(names.map((name) => [name, [] as Array<number>]))
    for (let round = -options.warmup; round < options.rounds; round++) {
      for (let i = 0; i < names.length; i++) {
        const name = names[(i + round + options.warmup) % names.length]!
        globalThis.gc?.({ type: "minor" })
        const started = performance.now()
        const result = yield* contestants[name]!
        const millis = typeof result === "number" ? result : performance.now() - started
        if (round >= 0) {
          times.get(name)!.push(millis)
        }
      }
    }
    return Object.fromEntries(names.map((name) => [name, median(times.get(name)!)]))
  })

/** Prints a line of the report: a ratio and its bar. */
export const report = (what: string, ratio: number, bar: string): void => {
  process.stdout.write(`${what.padEnd(72)} ${ratio.toFixed(2).padStart(6)}   ${bar}\n`)
}
