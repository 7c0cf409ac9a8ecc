import { Effect } from "effect"

/**
 * Lets the other fibers run until each of them waits. It yields a fixed number of times, so it suits fibers that wait
 * for latches and clocks, and not those that wait for I/O: `until` is for these.
 */
export const letOthersRun = Effect.repeatN(Effect.yieldNow(), 300)
