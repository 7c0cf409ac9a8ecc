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
  /** Whether the key exists: an earlier request with it has ended, or still runs. `true` only on routes that are `manual`. */
  readonly exists: boolean
  /** What that request was answered. `undefined` if `exists` is false, or while it still runs. */
  readonly response: StoredResponse | undefined
}
