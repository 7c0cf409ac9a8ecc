/**
 * Collects items of many callers, and works them off together: those that come while it works or pauses are the next group. So
 * one statement serves many requests.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { Wakeup } from "../support/wakeup.js"

/** @internal */
export class Group<A> {
  private items: Array<A> = []
  private next = Deferred.unsafeMake<void>(FiberId.none)
  private current: Deferred.Deferred<void> | undefined
  private readonly added = new Wakeup()
  private readonly awaited = new Wakeup()

  /** `work` handles a group, and does not fail. The pause after it ends early if somebody waits for an item. */
  constructor(
    private readonly work: (items: ReadonlyArray<A>) => Effect.Effect<void>,
    private readonly pause: Duration.Duration
  ) {}

  /** Adds items to the next group. Returns an Effect that completes when they have been worked off. */
  add(items: ReadonlyArray<A>, { isAwaited }: { readonly isAwaited: boolean }): Effect.Effect<void> {
    for (const item of items) {
      this.items.push(item)
    }
    this.added.wake()
    if (isAwaited) {
      this.awaited.wake()
    }
    return Deferred.await(this.next)
  }

  /** Completes when all items that were added so far have been worked off. */
  get drained(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.awaited.wake()
      return this.items.length > 0
        ? Deferred.await(this.next)
        : this.current === undefined
        ? Effect.void
        : Deferred.await(this.current)
    })
  }

  /** Works the items off until it is interrupted. An interruption waits for the group that it works on. */
  readonly run: Effect.Effect<never> = Effect.uninterruptibleMask((restore) =>
    Effect.forever(
      restore(this.added.wait).pipe(
        Effect.zipRight(Effect.suspend(() => this.workOff())),
        Effect.zipRight(restore(Effect.suspend(() => Effect.timeoutOption(this.awaited.wait, this.pause))))
      )
    )
  )

  private workOff(): Effect.Effect<void> {
    const { items, next } = this
    if (items.length === 0) {
      return Effect.void
    }
    this.items = []
    this.current = next
    this.next = Deferred.unsafeMake<void>(FiberId.none)
    return Effect.map(this.work(items), () => {
      this.current = undefined
      Deferred.unsafeDone(next, Exit.void)
    })
  }
}
