/**
 * What a handler can know of the idempotency key of its request.
 */
import type { StoredResponse } from "./store.js"

/**
 * The idempotency key of a request, for its handler.
 *
 * @since 0.1.0
 * @category models
 */
export interface IdempotencyRequest {
  readonly key: string
  /** Whether the key exists: a request with it has already ended. `true` only on routes that are `manual`. */
  readonly exists: boolean
  /** What that request was answered. `undefined` if `exists` is false. */
  readonly response: StoredResponse | undefined
}
