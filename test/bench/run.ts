/**
 * `npm run bench [name...]` compares Airlock with the hand-written floor, and an HTTP server and SQL transactions with
 * Airlock with those without, and the relay with other queues. Without a name it runs those that compare throughput: the others
 * are run by their names.
 */
import { Effect } from "effect"
import { buffer } from "./buffer.js"
import { engineAdapters } from "./engines.js"
import { http } from "./http.js"
import { idempotency } from "./idempotency.js"
import { outbox } from "./outbox.js"
import { payload } from "./payload.js"
import { peers } from "./peers.js"
import { relay } from "./relay.js"
import { relayBloat } from "./relayBloat.js"
import { relayLatency } from "./relayLatency.js"
import { relayProfile } from "./relayProfile.js"
import { relayScale } from "./relayScale.js"
import { scale } from "./scale.js"
import { scaling } from "./scaling.js"
import { sql } from "./sql.js"
import { stepCounts } from "./steps.js"

const benchmarks: Record<string, Effect.Effect<void>> = {
  buffer,
  scale,
  peers,
  http,
  idempotency,
  sql,
  outbox,
  relay,
  engines: engineAdapters,
  scaling,
  "relay-latency": relayLatency,
  "relay-bloat": relayBloat,
  "relay-profile": relayProfile,
  "relay-scale": relayScale,
  payload,
  steps: stepCounts
}

const onlyByName = new Set(["engines", "scaling", "relay-latency", "relay-bloat", "relay-profile", "relay-scale"])

const names = process.argv.slice(2).filter((name) => name in benchmarks)

process.stdout.write(`Node ${process.version}, ratios of medians of alternating rounds\n\n`)
await Effect.runPromise(
  Effect.forEach(
    names.length === 0 ? Object.keys(benchmarks).filter((name) => !onlyByName.has(name)) : names,
    (name) => benchmarks[name]!
  )
)
process.exit(0)
