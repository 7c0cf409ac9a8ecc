/**
 * What a store of idempotency keys does: five operations on records, each atomic.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The response of a request, as a store keeps it.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredResponse {
  readonly status: number
  /** Names are in lower case. Cookies, the date, and headers of the connection are not stored. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /**
   * Why the body is not stored: it exceeds `maxResponseBytes`, or the response was never known, for the client disconnected or
   * the process died after a commit. A replay then says so (`response-not-stored`, `outcome-unknown`).
   */
  readonly omitted?: "too-large" | "unknown"
}

/**
 * What a store found under a key.
 *
 * - `Claimed`: the key was free, and now belongs to the token until its lease ends.
 * - `InFlight`: another request owns the key. `remainingMillis` is the rest of its lease.
 * - `Mismatch`: the key belongs to a request with another fingerprint. Nothing was changed.
 * - `Completed`: the request has ended with this response.
 * - `Unanswered`: the request was committed, its lease has ended, and no response was stored.
 *
 * @since 0.1.0
 * @category models
 */
export type Claim =
  | { readonly _tag: "Claimed" }
  | { readonly _tag: "InFlight", readonly remainingMillis: number }
  | { readonly _tag: "Mismatch" }
  | { readonly _tag: "Completed", readonly response: StoredResponse }
  | { readonly _tag: "Unanswered" }

/**
 * A store did not answer, or its answer makes no sense.
 *
 * @since 0.1.0
 * @category errors
 */
export class IdempotencyStoreError extends Schema.TaggedError<IdempotencyStoreError>(
  "effect-airlock/IdempotencyStoreError"
)("IdempotencyStoreError", {
  operation: Schema.Literal("open", "claim", "renew", "keep", "complete", "release", "prune"),
  cause: Schema.Defect
}) {
  override get message(): string {
    return `The store of idempotency keys failed (${this.operation}).`
  }
}

/**
 * Names a record and its owner. The id is a hash of the key, its method, path and caller, as 64 hexadecimal digits.
 *
 * @since 0.1.0
 * @category models
 */
export interface Owner {
  readonly id: string
  /** A new UUID for each claim. Only the owner whose token the record has can change it. */
  readonly token: string
}

/**
 * The operations of a store, for stores of your own. Each is atomic: processes may run them at once. Times are those of the
 * store's clock, in milliseconds. `testing/IdempotencyStoreSuite` tests a store.
 *
 * @since 0.1.0
 * @category models
 */
export interface IdempotencyStoreOperations {
  /**
   * Claims a free key: one without a record, or whose record has expired. A claim by the token that already owns the key is
   * `Claimed` too.
   */
  readonly claim: (
    owner: Owner & { readonly fingerprint: string, readonly leaseMillis: number }
  ) => Effect.Effect<Claim, IdempotencyStoreError>
  /** Extends the lease of an owner. Returns `false` if the key is no longer its own. */
  readonly renew: (owner: Owner & { readonly leaseMillis: number }) => Effect.Effect<boolean, IdempotencyStoreError>
  /**
   * Notes that the request is about to commit or to send something: from now on the record lives for `ttlMillis`, even if its
   * owner dies. Runs in the SQL transaction that is about to commit, if the store is in the same database. Returns `false` if the
   * key is no longer the owner's.
   */
  readonly keep: (owner: Owner & { readonly ttlMillis: number }) => Effect.Effect<boolean, IdempotencyStoreError>
  /** Stores the response. Returns `false` if the key is no longer the owner's. */
  readonly complete: (
    owner: Owner & { readonly ttlMillis: number, readonly response: StoredResponse }
  ) => Effect.Effect<boolean, IdempotencyStoreError>
  /** Frees a key that has no response. Returns `false` if there was none of this owner. */
  readonly release: (owner: Owner) => Effect.Effect<boolean, IdempotencyStoreError>
  /** Deletes at most one batch of expired records, and returns their number. Absent if the store does that by itself. */
  readonly prune?: Effect.Effect<number, IdempotencyStoreError>
}

/** A key that a request of this process owns. @internal */
export interface Held extends Owner {
  readonly leaseMillis: number
  readonly ttlMillis: number
  /** The response that is still to be stored, if the store did not answer when the request ended. */
  response: StoredResponse | undefined
  /** Whether the lease has ended and another request owns the key. */
  isLost: boolean
}

/** Renews the leases of the keys that it has. @internal */
export interface Keeper {
  readonly add: (held: Held) => void
  readonly remove: (held: Held) => void
}

/**
 * The service of a store: its operations, and the fiber that renews the leases of this process.
 *
 * @since 0.1.0
 * @category models
 */
export interface IdempotencyStoreService extends IdempotencyStoreOperations {
  /** @internal */
  readonly keeper: Keeper
  /**
   * Whether `keep` runs in any transaction that is open in the same database, because there is only one connection.
   *
   * @internal
   */
  readonly keepsInTransaction?: boolean
}

/**
 * The store of idempotency keys. `Idempotency.layerMemory`, `IdempotencySql.layer` and `IdempotencyRedis.layer` provide it.
 *
 * @since 0.1.0
 * @category services
 */
export class IdempotencyStore extends Context.Tag("effect-airlock/IdempotencyStore")<
  IdempotencyStore,
  IdempotencyStoreService
>() {}
