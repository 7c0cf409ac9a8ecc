/**
 * Idempotency keys: a request that is sent twice acts once. `HttpMiddleware.idempotency` checks the keys; this module has its
 * stores, its options, and what a handler can ask.
 *
 * @since 0.1.0
 */
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as EffectScope from "effect/Scope"
import { readOptions } from "./internal/idempotency/config.js"
import type { IdempotencyRequest } from "./internal/idempotency/current.js"
import { defaultsContext } from "./internal/idempotency/defaults.js"
import { makeService } from "./internal/idempotency/keeper.js"
import { memoryOperations } from "./internal/idempotency/memory.js"
import { type IdempotencyOptions, settingsOf } from "./internal/idempotency/options.js"
import { currentIn, protectedIn } from "./internal/idempotency/protectedRequest.js"
import {
  IdempotencyStore,
  type IdempotencyStoreOperations,
  type IdempotencyStoreService
} from "./internal/idempotency/store.js"

export type { IdempotencyRequest } from "./internal/idempotency/current.js"
export {
  type IdempotencyMode,
  type IdempotencyOptions,
  IdempotencyOptionsError,
  type IdempotencyRoute
} from "./internal/idempotency/options.js"
export type { ProblemCode } from "./internal/idempotency/problem.js"
export { Endpoint } from "./internal/idempotency/routes.js"
export {
  type Claim,
  IdempotencyStore,
  IdempotencyStoreError,
  type IdempotencyStoreOperations,
  type IdempotencyStoreService,
  type Owner,
  type StoredResponse
} from "./internal/idempotency/store.js"

/**
 * The idempotency key of the current request. `None` if the request has none, or if its route does not look at keys. On a route
 * with the mode `manual` it also tells whether the key exists, and what was answered then.
 *
 * @example
 * ```ts
 * import { HttpServerResponse } from "@effect/platform"
 * import { Effect, Option } from "effect"
 * import { Idempotency } from "effect-airlock"
 *
 * const handler = Effect.map(Idempotency.current, (request) =>
 *   Option.exists(request, ({ exists }) => exists)
 *     ? HttpServerResponse.text("again", { status: 409 })
 *     : HttpServerResponse.text("for the first time"))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const current: Effect.Effect<Option.Option<IdempotencyRequest>> = Effect.contextWith((context) =>
  Option.fromNullable(currentIn(context))
)

/**
 * Tells that the current request is about to do something that must not be done twice, and that Airlock cannot see: a call of a
 * payment service, a write with a client that `SqlTransaction.layer` does not decorate. From now on the key is not freed, even if
 * the request fails or its process dies. Does nothing without a key. In a transaction it is noted at once, on another connection, and
 * holds even if the transaction is rolled back; with `IdempotencySql` on SQLite it is a part of the transaction.
 *
 * Returns `false` if the request has lost its key, because it took longer than its lease: then another request does the work, and
 * this one should stop. If the store does not answer, a warning is logged, and the result is `true`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Idempotency } from "effect-airlock"
 *
 * declare const charge: (cents: number) => Effect.Effect<void>
 *
 * const pay = (cents: number) =>
 *   Effect.if(Idempotency.keep, { onTrue: () => charge(cents), onFalse: () => Effect.fail("another request pays") })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const keep: Effect.Effect<boolean> = Effect.contextWithEffect((context) => {
  const request = protectedIn(context)
  return request === undefined ? Effect.succeed(true) : Effect.tap(request.beforeDispatch, (isOwn) => {
    request.isOut = request.isOut || isOwn
  })
})

/**
 * Makes the service of a store from its operations, for a store of your own. Leases are renewed until the `Scope` closes.
 *
 * @since 0.1.0
 * @category stores
 */
export const makeStore = (
  operations: IdempotencyStoreOperations
): Effect.Effect<IdempotencyStoreService, never, EffectScope.Scope> => makeService(operations)

/**
 * Makes a service that keeps keys in the memory of this process. For a tag of your own: see {@link layerMemory}.
 *
 * @since 0.1.0
 * @category stores
 */
export const makeMemory = (
  { maxBytes = 64 * 1024 * 1024, maxRecords = 10_000 }: MemoryOptions = {}
): Effect.Effect<IdempotencyStoreService, never, EffectScope.Scope> =>
  Effect.suspend(() => makeService(memoryOperations({ maxBytes, maxRecords })))

/**
 * The limits of a store in memory.
 *
 * @since 0.1.0
 * @category options
 */
export interface MemoryOptions {
  /** The number of records. Default: 10 000. */
  readonly maxRecords?: number
  /** The size of all records, in bytes. Default: 64 MiB. */
  readonly maxBytes?: number
}

/**
 * Keeps keys in the memory of this process: for one process, and for tests. When it is full, it drops the oldest responses. If it
 * is full of requests that run, a new key fails with an `IdempotencyStoreError`.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpMiddleware, Idempotency } from "effect-airlock"
 *
 * declare const router: HttpRouter.HttpRouter
 *
 * const Server = router.pipe(
 *   HttpServer.serve(HttpMiddleware.idempotency()),
 *   Layer.provide(Idempotency.layerMemory())
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory = (options?: MemoryOptions): Layer.Layer<IdempotencyStore> =>
  Layer.scoped(IdempotencyStore, makeMemory(options))

/**
 * Options for all middlewares of the application, where their own options say nothing. Dies with an `IdempotencyOptionsError` if
 * one has no sense.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOptions = (options: IdempotencyOptions): Layer.Layer<never> =>
  Layer.effectContext(Effect.map(
    Effect.sync(() => settingsOf(options)),
    () => defaultsContext(options)
  ))

/**
 * What {@link layerConfig} can name, in addition to the configuration that it reads.
 *
 * @since 0.1.0
 * @category options
 */
export interface LayerConfigOptions<Stores extends Readonly<Record<string, Layer.Layer<IdempotencyStore, any, any>>>> {
  /** The prefix of all keys. Default: `IDEMPOTENCY`. */
  readonly prefix?: string
  /** Stores, beside `memory`. Only that which is chosen is built. */
  readonly stores?: Stores
  /** Functions that identify the caller. */
  readonly callers?: Readonly<Record<string, NonNullable<IdempotencyOptions["caller"]>>>
  /** Fingerprints, beside `bytes` and `json`. */
  readonly fingerprints?: Readonly<Record<string, NonNullable<IdempotencyOptions["fingerprint"]>>>
}

type ErrorOf<L> = L extends Layer.Layer<any, infer E, any> ? E : never
type ContextOf<L> = L extends Layer.Layer<any, any, infer R> ? R : never

/**
 * The store and the options of the application, from Effect's `Config`. A missing key has its default; `IDEMPOTENCY_STORE` is
 * `memory` unless set. The options of a middleware count before these.
 *
 * Fails with a `ConfigError` if a value cannot be read, a name is unknown, or a key under the prefix is unknown.
 *
 * @example
 * ```ts
 * import { Idempotency } from "effect-airlock"
 * import * as IdempotencySql from "effect-airlock/IdempotencySql"
 *
 * // IDEMPOTENCY_STORE=sql IDEMPOTENCY_TTL="2 days" IDEMPOTENCY_STORE_STATUSES=200,201 node server.js
 * const Keys = Idempotency.layerConfig({ stores: { sql: IdempotencySql.layer() } })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <
  const Stores extends Readonly<Record<string, Layer.Layer<IdempotencyStore, any, any>>> = {}
>(
  { callers = {}, fingerprints = {}, prefix = "IDEMPOTENCY", stores }: LayerConfigOptions<Stores> = {}
): Layer.Layer<IdempotencyStore, ConfigError | ErrorOf<Stores[keyof Stores]>, ContextOf<Stores[keyof Stores]>> => {
  const known: Readonly<
    Record<string, Layer.Layer<IdempotencyStore, ErrorOf<Stores[keyof Stores]>, ContextOf<Stores[keyof Stores]>>>
  > = { memory: layerMemory(), ...stores }
  return Layer.unwrapEffect(Effect.map(
    readOptions({ prefix, callers, fingerprints, stores: Object.keys(known) }),
    ({ options, store }) => Layer.merge(known[store]!, layerOptions(options))
  ))
}
