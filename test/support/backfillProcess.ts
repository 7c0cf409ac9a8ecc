/**
 * The program of examples/backfill.ts, which stops at the end of its sixth chunk, before the COMMIT, and says so.
 */
import { Effect } from "effect"
import { main } from "../../examples/backfill.js"

let chunks = 0

main(Effect.suspend(() => {
  chunks += 1
  if (chunks < 6) {
    return Effect.void
  }
  process.stdout.write("in the sixth chunk\n")
  return Effect.never
}))
