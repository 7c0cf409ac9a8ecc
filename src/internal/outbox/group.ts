/**
 * Collects items of many callers, and works them off together: the items that come while it works are the next group. So one
 * statement serves many requests, and no caller waits for a timer.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"

/** @internal */
export class Group<A> {
  private items: Array<A> = []
  private next = Deferred.unsafeMake<void>(FiberId.none)
  private current: Deferred.Deferred<void> | undefined
  private wake: (() => void) | undefined

  /** `work` handles a group, and does not fail. */
  constructor(private readonly work: (items: ReadonlyArray<A>) => Effect.Effect<void>) {}

  /** Adds items to the next group. Returns an Effect that completes when they have been worked off. */
  add(items: ReadonlyArray<A>): Effect.Effect<void> {
    for (const item of items) {
      this.items.push(item)
    }
    this.wake?.()
    return Deferred.await(this.next)
  }

  /** Completes when all items that were added so far have been worked off. */
  get drained(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.items.length > 0
        ? Deferred.await(this.next)
        : this.current === undefined
        ? Effect.void
        : Deferred.await(this.current)
    )
  }

  /** Works the items off until it is interrupted. An interruption waits for the group that it works on. */
  readonly run: Effect.Effect<never> = Effect.uninterruptibleMask((restore) =>
    Effect.forever(Effect.suspend(() => this.round(restore)))
  )

  private round(restore: (self: Effect.Effect<void>) => Effect.Effect<void>): Effect.Effect<void> {
    return Effect.flatMap(this.items.length > 0 ? Effect.void : restore(this.awaitItems), () => {
      const { items, next } = this
      this.items = []
      this.current = next
      this.next = Deferred.unsafeMake<void>(FiberId.none)
      return Effect.map(this.work(items), () => {
        this.current = undefined
        Deferred.unsafeDone(next, Exit.void)
      })
    })
  }

  private readonly awaitItems = Effect.async<void>((resume) => {
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
  })
}
