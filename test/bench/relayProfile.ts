/**
 * `npm run bench relay-profile`: what Node spends on an intent of the relay: its CPU time, and the functions that take it. The
 * profile is of 50 000 intents, from the end of the first tenth to the end of the last one, after a run that compiles the code. It
 * is written to .tmp/relay.cpuprofile, which the developer tools of Chrome and VS Code open.
 */
import { Deferred, Effect } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { type Profiler, Session } from "node:inspector/promises"
import { relative } from "node:path"
import { airlock, best } from "./relayPeers/airlock.js"
import { newDatabase } from "./relayPeers/database.js"
import type { Peer } from "./relayPeers/peer.js"

const intents = 50_000
const file = ".tmp/relay.cpuprofile"

const profile = (peer: Peer) =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const session = new Session()
        session.connect()
        return session
      }),
      (session) => Effect.sync(() => session.disconnect())
    )
    yield* Effect.promise(() => session.post("Profiler.enable"))
    yield* peer.clear
    yield* peer.fill(intents)
    const end = yield* Deferred.make<NodeJS.CpuUsage>()
    let done = 0
    let before = process.cpuUsage()
    yield* peer.work(() => {
      done++
      if (done === intents / 10) {
        before = process.cpuUsage()
        void session.post("Profiler.start")
      } else if (done === intents) {
        Deferred.unsafeDone(end, Effect.succeed(process.cpuUsage(before)))
      }
    })
    const cpu = yield* Deferred.await(end)
    const { profile } = yield* Effect.promise(() => session.post("Profiler.stop"))
    return { profile, cpu }
  }))

/** The file of a function: from its package on, or from this repository on. V8's own functions have none. */
const fileOf = (url: string): string =>
  url.includes("/node_modules/")
    ? url.slice(url.lastIndexOf("/node_modules/") + "/node_modules/".length)
    : url.startsWith("file:")
    ? relative(process.cwd(), new URL(url).pathname)
    : url

/** The package of a file, or the file itself in this repository. */
const placeOf = (url: string): string =>
  url === ""
    ? "V8 and its garbage collector"
    : url.startsWith("node:")
    ? "Node"
    : url.includes("/node_modules/")
    ? fileOf(url).match(/^(@[^/]+\/)?[^/]+/)![0]
    : fileOf(url)

/** The microseconds in which each key was on top of the stack. The time in which the process waited is none of them. */
const selfTimes = (
  { nodes, samples = [], timeDeltas = [] }: Profiler.Profile,
  key: (node: Profiler.ProfileNode) => string
) => {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const times = new Map<string, number>()
  samples.forEach((id, i) => {
    const node = byId.get(id)!
    if (node.callFrame.functionName !== "(idle)") {
      times.set(key(node), (times.get(key(node)) ?? 0) + timeDeltas[i]!)
    }
  })
  return [...times].sort(([, a], [, b]) => b - a)
}

export const relayProfile: Effect.Effect<void> = Effect.scoped(Effect.gen(function*() {
  const peer = airlock(yield* newDatabase, best)
  yield* peer.setup
  yield* profile(peer)
  const { cpu, profile: found } = yield* profile(peer)
  mkdirSync(".tmp", { recursive: true })
  writeFileSync(file, JSON.stringify(found))
  const measured = intents * 0.9
  process.stdout.write(
    `CPU of Node for an intent, under the profiler: ${((cpu.user + cpu.system) / measured).toFixed(1)} us\n`
  )
  const print = (what: string, times: ReadonlyArray<readonly [string, number]>) => {
    process.stdout.write(`\nus of an intent in ${what}\n`)
    for (const [name, micros] of times) {
      process.stdout.write(`${(micros / measured).toFixed(2).padStart(8)}  ${name}\n`)
    }
  }
  print("each package or file", selfTimes(found, ({ callFrame }) => placeOf(callFrame.url)).slice(0, 20))
  print(
    "each function",
    selfTimes(
      found,
      ({ callFrame: { functionName, lineNumber, url } }) =>
        `${functionName || "(anonymous)"} ${url === "" ? "" : `${fileOf(url)}:${lineNumber + 1}`}`
    ).slice(0, 30)
  )
  process.stdout.write(`\nThe whole profile is in ${file}\n`)
}))
