/**
 * The process that writes the jobs of `npm run bench relay-latency`: `relayWriter.ts <kind> <url> <per second> <jobs>`.
 */
import { Effect, FiberSet } from "effect"
import { airlock, defaults } from "./relayPeers/airlock.js"
import { graphileWorker, ten } from "./relayPeers/graphileWorker.js"
import { notifications } from "./relayPeers/notifications.js"
import type { Channel } from "./relayPeers/peer.js"

const [kind, url, perSecond, jobs] = process.argv.slice(2)

const channels: Record<string, (url: string) => Channel> = {
  "airlock": (url) => airlock(url, defaults),
  "graphile-worker": (url) => graphileWorker(url, ten),
  notifications
}

await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const write = yield* channels[kind!]!(url!).writer
  const writing = yield* FiberSet.make<void>()
  const started = performance.now()
  for (let written = 0; written < Number(jobs); written++) {
    const wait = started + written * 1000 / Number(perSecond) - performance.now()
    if (wait > 0) {
      yield* Effect.sleep(wait)
    }
    yield* FiberSet.run(writing, write)
  }
  yield* FiberSet.awaitEmpty(writing)
})))
process.exit(0)
