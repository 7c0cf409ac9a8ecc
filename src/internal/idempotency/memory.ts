/**
 * The store in the memory of the process: a map with a limit of records and of bytes.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import {
  type Claim,
  IdempotencyStoreError,
  type IdempotencyStoreOperations,
  type Owner,
  type StoredResponse
} from "./store.js"

interface Entry {
  fingerprint: string
  token: string
  isKept: boolean
  leaseUntil: number
  expiresAt: number
  response: StoredResponse | undefined
}

/** @internal */
export interface MemoryLimits {
  readonly maxRecords: number
  readonly maxBytes: number
}

const claimed: Claim = { _tag: "Claimed" }
const mismatch: Claim = { _tag: "Mismatch" }
const unanswered: Claim = { _tag: "Unanswered" }

/** What a record takes beside its body. */
const overhead = 500

const bytesOf = ({ response }: Entry): number => overhead + (response?.body.length ?? 0)

const withNow = <A>(f: (now: number) => Effect.Effect<A, IdempotencyStoreError>) =>
  Effect.withFiberRuntime<A, IdempotencyStoreError>((fiber) =>
    f(Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis())
  )

/**
 * Finds the oldest entry of a map. An iterator of its own remembers where that is: one that begins anew passes all places of
 * deleted entries, of which V8 keeps thousands.
 */
const oldestOf = (entries: ReadonlyMap<string, Entry>): () => readonly [id: string, entry: Entry] | undefined => {
  let iterator = entries.entries()
  let oldest: readonly [string, Entry] | undefined
  return () => {
    while (entries.size > 0 && (oldest === undefined || entries.get(oldest[0]) !== oldest[1])) {
      const next = iterator.next()
      if (next.done === true) {
        iterator = entries.entries()
      } else {
        oldest = next.value
      }
    }
    return entries.size === 0 ? undefined : oldest
  }
}

/** @internal */
export const memoryOperations = ({ maxBytes, maxRecords }: MemoryLimits): IdempotencyStoreOperations => {
  /** Requests that run, in the order in which they were claimed, and responses, in the order in which they were stored. */
  const running = new Map<string, Entry>()
  const completed = new Map<string, Entry>()
  let bytes = 0

  const mapOf = ({ response }: Entry) => response === undefined ? running : completed
  const remove = (id: string, entry: Entry): void => {
    mapOf(entry).delete(id)
    bytes -= bytesOf(entry)
  }
  const put = (id: string, entry: Entry): void => {
    mapOf(entry).set(id, entry)
    bytes += bytesOf(entry)
  }
  const isFull = () => running.size + completed.size > maxRecords || bytes > maxBytes
  const oldestRunning = oldestOf(running)
  const oldestCompleted = oldestOf(completed)
  /** Drops what has expired, and then the oldest responses. A request that runs is not dropped. */
  const makeRoom = (now: number): boolean => {
    for (let oldest = oldestRunning(); oldest !== undefined && oldest[1].expiresAt <= now; oldest = oldestRunning()) {
      remove(...oldest)
    }
    for (
      let oldest = oldestCompleted();
      oldest !== undefined && (oldest[1].expiresAt <= now || isFull());
      oldest = oldestCompleted()
    ) {
      remove(...oldest)
    }
    return !isFull()
  }
  const find = (id: string): Entry | undefined => running.get(id) ?? completed.get(id)
  const ofOwner = ({ id, token }: Owner): Entry | undefined => {
    const entry = find(id)
    return entry?.token === token ? entry : undefined
  }
  return {
    claim: ({ fingerprint, id, leaseMillis, token }) =>
      withNow((now) => {
        const found = find(id)
        if (found !== undefined && found.expiresAt > now) {
          return Effect.succeed(
            found.token === token
              ? claimed
              : found.fingerprint !== fingerprint
              ? mismatch
              : found.response !== undefined
              ? { _tag: "Completed", response: found.response }
              : found.leaseUntil > now
              ? { _tag: "InFlight", remainingMillis: found.leaseUntil - now }
              : unanswered
          )
        }
        if (found !== undefined) {
          remove(id, found)
        }
        const until = now + leaseMillis
        const entry: Entry = {
          fingerprint,
          token,
          isKept: false,
          leaseUntil: until,
          expiresAt: until,
          response: undefined
        }
        put(id, entry)
        if (makeRoom(now)) {
          return Effect.succeed(claimed)
        }
        remove(id, entry)
        const cause = new Error(`${running.size} requests with idempotency keys run, and the store is full`)
        return Effect.fail(new IdempotencyStoreError({ operation: "claim", cause }))
      }),
    renew: ({ leaseMillis, ...owner }) =>
      withNow((now) => {
        const entry = ofOwner(owner)
        if (entry !== undefined && entry.response === undefined) {
          entry.leaseUntil = now + leaseMillis
          entry.expiresAt = Math.max(entry.leaseUntil, entry.isKept ? entry.expiresAt : 0)
        }
        return Effect.succeed(entry !== undefined)
      }),
    keep: ({ ttlMillis, ...owner }) =>
      withNow((now) => {
        const entry = ofOwner(owner)
        if (entry !== undefined) {
          entry.isKept = true
          entry.expiresAt = Math.max(entry.leaseUntil, now + ttlMillis)
        }
        return Effect.succeed(entry !== undefined)
      }),
    complete: ({ id, response, token, ttlMillis }) =>
      withNow((now) => {
        const entry = ofOwner({ id, token })
        if (entry === undefined) {
          return Effect.succeed(false)
        }
        remove(id, entry)
        put(id, { ...entry, response, expiresAt: now + ttlMillis })
        makeRoom(now)
        return Effect.succeed(true)
      }),
    release: (owner) =>
      Effect.sync(() => {
        const entry = ofOwner(owner)
        if (entry === undefined || entry.response !== undefined) {
          return false
        }
        remove(owner.id, entry)
        return true
      })
  }
}
