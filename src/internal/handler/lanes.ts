/**
 * Orders the calls of concurrent workers. A lane is a list of calls that run one after the other, in one worker.
 *
 * @internal
 */
import { groupBy } from "../support/groupBy.js"
import { type Call, intentsOf } from "./calls.js"

/** A queue of lanes. @internal */
export class Lanes {
  private next = 0
  private stopped = false

  constructor(private readonly lanes: ReadonlyArray<ReadonlyArray<Call>>) {}

  /** From now on, no worker gets another call. */
  stop(): void {
    this.stopped = true
  }

  /** Returns a function that gives one worker its next call. A worker finishes a lane before it takes the next one. */
  worker(): () => Call | undefined {
    let lane: ReadonlyArray<Call> = []
    let at = 0
    return () => {
      while (at === lane.length && this.next < this.lanes.length) {
        lane = this.lanes[this.next++]!
        at = 0
      }
      return this.stopped ? undefined : lane[at++]
    }
  }
}

/**
 * A lane for all calls that share an `orderingKey`, and one for each other call. A batched call joins the lanes of all keys
 * of its intents.
 *
 * @internal
 */
export const lanesOf = (calls: ReadonlyArray<Call>): ReadonlyArray<ReadonlyArray<Call>> => {
  const keysOf = new Map(
    calls.map((call) => [call, intentsOf(call).flatMap(({ options }) => options.orderingKey ?? [])])
  )
  const joined = new JoinedKeys()
  for (const [first, ...others] of keysOf.values()) {
    others.forEach((other) => joined.join(first!, other))
  }
  const laneOf = (call: Call): unknown => {
    const key = keysOf.get(call)![0]
    return key === undefined ? call : joined.find(key)
  }
  return [...groupBy(calls, laneOf).values()]
}

/** Disjoint sets of keys. */
class JoinedKeys {
  private readonly parents = new Map<string, string>()

  /** The key that stands for the set of a key. */
  find(key: string): string {
    let root = key
    for (let next = this.parents.get(root); next !== undefined; next = this.parents.get(root)) {
      root = next
    }
    if (root !== key) {
      this.parents.set(key, root)
    }
    return root
  }

  join(a: string, b: string): void {
    if (this.find(a) !== this.find(b)) {
      this.parents.set(this.find(b), this.find(a))
    }
  }
}
