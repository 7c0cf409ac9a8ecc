/**
 * Alternating rounds: each contestant once a round, in an order that turns from round to round, so that what the machine
 * does meanwhile hits all of them alike. What counts is the ratio of the medians; the times themselves are noise.
 *
 * In between the young generation is collected, so that nobody pays for the garbage of the one before. Not all of it: a
 * full collection also throws away optimised code whose objects have died (`--trace-deopt` shows some 50 functions a
 * time), and what is measured then is mostly how fast the engine compiles.
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

/** A line of the report: a ratio beside its bar. */
export const report = (what: string, ratio: number, bar: string): void => {
  process.stdout.write(`${what.padEnd(72)} ${ratio.toFixed(2).padStart(6)}   ${bar}\n`)
}
