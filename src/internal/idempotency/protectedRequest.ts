/**
 * A request that owns its idempotency key, from the claim to the stored response.
 *
 * @internal
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import { isInterrupted } from "../scope/fork.js"
import { type Journal, journalIn } from "../scope/journal.js"
import { transactionIn, withoutTransaction } from "../scope/transactionTag.js"
import type { AnyFiber } from "../support/effectInternals.js"
import type { IdempotencyRequest } from "./current.js"
import type { Settings } from "./options.js"
import { stored, unknownResponse } from "./replay.js"
import { bytesAtHand, capture } from "./responseBody.js"
import type { Held, IdempotencyStoreError, IdempotencyStoreService, StoredResponse } from "./store.js"

/** Another request has the key, or may have it. The transaction of this one must not commit. */
class LostLease extends Error {
  override readonly name = "LostLease"
  constructor() {
    super(
      "The request has its idempotency key no longer: it took longer than its lease, or it was answered with a response that frees " +
        "the key, and went on afterwards."
    )
  }
}

/** @internal */
export class ProtectedRequest implements Journal, Held, CurrentRequest {
  isOut = false
  hasDiscarded = false
  isLost = false
  response: StoredResponse | undefined = undefined
  readonly exists = false
  /** Identifies the request of the host. */
  readonly source: unknown
  readonly leaseMillis: number
  readonly ttlMillis: number
  private hasEnded = false
  /** Whether the key was completed or freed. A body that is collected can still commit and send something before. */
  private isSettled = false
  /** Whether the store knows that the request commits or sends something. */
  private isKept = false
  /**
   * Whether the store got to know it while a transaction was open. That transaction leaves the record alone, which has changed
   * since its snapshot. It may, because nobody takes over a key that was kept.
   */
  private isKeptBeside = false
  /** The response that the next COMMIT answers with. */
  private answer: HttpServerResponse | undefined = undefined
  /** What a transaction that is about to commit has written: that it commits, and perhaps the response. */
  private written: { readonly answer: HttpServerResponse | undefined } | undefined = undefined
  /** The response that the store has, because the transaction that wrote it has committed. */
  private inTransaction: HttpServerResponse | undefined = undefined

  constructor(
    private readonly request: HttpServerRequest,
    private readonly settings: Settings,
    private readonly store: IdempotencyStoreService,
    readonly key: string,
    readonly id: string,
    readonly token: string
  ) {
    this.source = request.source
    this.leaseMillis = settings.leaseMillis
    this.ttlMillis = settings.ttlMillis
    store.keeper.add(this)
  }

  /** Tells which response follows a COMMIT, if its bytes are known: then it is stored in the transaction. */
  answerWith(response: HttpServerResponse): void {
    this.answer = response
  }

  readonly beforeCommit: Effect.Effect<void, unknown> = Effect.suspend(() => {
    const { answer, settings } = this
    this.answer = undefined
    this.written = undefined
    if (this.isKeptBeside) {
      return Effect.void
    }
    const bytes = answer && bytesAtHand(answer)
    const isAnswered = answer !== undefined && bytes !== undefined && bytes.length <= settings.maxResponseBytes
    const write = isAnswered
      ? this.store.complete({ ...this.owner, response: stored(answer, bytes) })
      : this.store.keep(this.owner)
    return Effect.matchEffect(write, {
      onFailure: (error) =>
        settings.isOpen
          ? Effect.logWarning("Airlock could not note that a request with an idempotency key commits", error)
          : Effect.fail(error),
      onSuccess: (isOwn) => {
        if (!isOwn) {
          return Effect.fail(new LostLease())
        }
        this.written = { answer: isAnswered ? answer : undefined }
        return Effect.void
      }
    })
  })

  hasCommitted(): void {
    this.isOut = true
    if (this.written !== undefined) {
      this.isKept = true
      this.inTransaction = this.written.answer
    }
  }

  readonly beforeDispatch: Effect.Effect<boolean> = Effect.withFiberRuntime((fiber) => {
    if (this.isKept || this.isSettled) {
      return Effect.succeed(true)
    }
    const { keep, keepsInTransaction = false } = this.store
    const isOpen = transactionIn(fiber.currentContext) !== undefined
    const keeping = keep(this.owner)
    // What leaves now has left even if the open transaction is rolled back.
    const write = isOpen && !keepsInTransaction
      ? Effect.locally(keeping, FiberRef.currentContext, withoutTransaction(fiber.currentContext))
      : keeping
    return write.pipe(
      Effect.tap((isOwn) => {
        this.isKept = isOwn && !(isOpen && keepsInTransaction)
        this.isKeptBeside = this.isKept && isOpen
      }),
      Effect.catchAllCause((cause) =>
        Effect.as(
          Effect.logWarning("Airlock could not note that a request with an idempotency key sends something", cause),
          true
        )
      )
    )
  })

  private get owner() {
    const { id, token, ttlMillis } = this
    return { id, token, ttlMillis }
  }

  /** Stores the response or frees the key, once, and returns the response to send. */
  end(response: HttpServerResponse, fiber: AnyFiber): Effect.Effect<HttpServerResponse> {
    if (this.hasEnded) {
      return Effect.succeed(response)
    }
    this.hasEnded = true
    const interrupted = isInterrupted(fiber)
    // The response to a client that has disconnected in the middle says nothing.
    const isAnswer = !(interrupted && response.status >= 400)
    // Intents that were discarded leave when the client tries again.
    const isWanted = isAnswer && !(interrupted && this.hasDiscarded) &&
      this.settings.storesResponse(response, this.request)
    if (!isWanted && !this.isOut) {
      return Effect.as(this.free, response)
    }
    if (!isAnswer) {
      return Effect.as(this.complete(unknownResponse), response)
    }
    if (this.inTransaction === response) {
      this.store.keeper.remove(this)
      return Effect.succeed(response)
    }
    const bytes = bytesAtHand(response)
    if (bytes !== undefined && bytes.length <= this.settings.maxResponseBytes) {
      return Effect.as(this.complete(stored(response, bytes)), response)
    }
    return Effect.flatMap(
      capture(response, this.settings.maxResponseBytes),
      ({ bytes, hasFailed, response }) =>
        Effect.as(
          !hasFailed
            ? this.complete(stored(response, bytes))
            : this.isOut
            ? this.complete(unknownResponse)
            : this.free,
          response
        )
    )
  }

  /** The request has ended without a response, because something around it cut it off. */
  readonly abandon: Effect.Effect<void> = Effect.suspend(() => {
    if (this.hasEnded) {
      return Effect.void
    }
    this.hasEnded = true
    return this.isOut ? this.complete(unknownResponse) : this.free
  })

  private readonly free: Effect.Effect<void> = Effect.suspend(() => {
    this.isSettled = true
    this.store.keeper.remove(this)
    AirlockMetrics.idempotency.unsafeUpdate("released", [])
    return Effect.catchAllCause(
      this.store.release(this),
      (cause) => Effect.logWarning("Airlock could not free an idempotency key. It is free when its lease ends", cause)
    )
  })

  private complete(response: StoredResponse): Effect.Effect<void> {
    this.isSettled = true
    const completing: Effect.Effect<boolean, IdempotencyStoreError> = this.store.complete({ ...this.owner, response })
    return Effect.matchCauseEffect(completing, {
      onFailure: (cause) => {
        // The keeper tries again, and holds the lease until then.
        this.response = response
        return Effect.logError("Airlock could not store the response of an idempotency key, and tries again", cause)
      },
      onSuccess: (isOwn) => {
        this.store.keeper.remove(this)
        if (isOwn) {
          AirlockMetrics.idempotency.unsafeUpdate("stored", [])
          return Effect.void
        }
        AirlockMetrics.idempotency.unsafeUpdate("lost", [])
        return Effect.logError(
          "A request took longer than the lease of its idempotency key, and another request has taken the key over. Both ran"
        )
      }
    })
  }
}

/** A request with a key, and which request of the host that is. @internal */
export interface CurrentRequest extends IdempotencyRequest {
  readonly source: unknown
}

/** The key of a request in the context that runs again. @internal */
export const replayedKey = "effect-airlock/ReplayedRequest"

/** The request that owns its key, in the context of its handler. @internal */
export const protectedIn = (context: Context.Context<never>): ProtectedRequest | undefined => {
  const journal = journalIn(context)
  return journal instanceof ProtectedRequest ? journal : undefined
}

/** The request of a handler, if it has a key. @internal */
export const currentIn = (context: Context.Context<never>): CurrentRequest | undefined =>
  context.unsafeMap.get(replayedKey) ?? protectedIn(context)
