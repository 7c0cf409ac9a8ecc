/**
 * Renews the session of a relay while it runs, and replaces a session that was lost.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as report from "./report.js"
import { Session } from "./session.js"
import type { RelayState } from "./state.js"

/** A third of the lease: so that two renewals may fail. */
const perLease = 3

/** How long to wait after a statement that failed, as a part of the lease. */
const perRetry = 30

/** @internal */
export class Renewing {
  constructor(private readonly state: RelayState) {}

  /** Registers the session. */
  readonly register: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const { parts: { store }, session, tasks } = this.state
    const sentAt = this.state.now()
    session.tasks = tasks
    return Effect.map(store.register(session, session.leaseMillis), () => {
      session.renewed(sentAt)
      this.state.claiming.wake()
    })
  })

  /** Runs until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => Effect.forever(this.round))

  private readonly round: Effect.Effect<void> = Effect.suspend(() => {
    const { lease } = this.state.settings
    const { wait } = this.state.renewing
    return Effect.timeoutOption(wait, Duration.times(lease, 1 / perLease)).pipe(
      Effect.zipRight(this.renew),
      Effect.catchAllCause((cause) =>
        Effect.zipRight(
          report.statementFailed("renew its lease", cause),
          Effect.delay(Effect.sync(() => this.state.renewing.wake()), Duration.times(lease, 1 / perRetry))
        )
      )
    )
  })

  private readonly renew: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const { parts, session, tasks } = this.state
    if (!session.isRegistered) {
      return this.register
    }
    const sentAt = this.state.now()
    session.tasks = tasks
    return Effect.flatMap(parts.store.heartbeat(session, session.leaseMillis), (isAlive) => {
      if (!isAlive) {
        return this.replace(session)
      }
      session.renewed(sentAt)
      this.state.claiming.wake()
      this.state.beginning.wake()
      return Effect.void
    })
  })

  /** Other relays have taken over the rows of a session: drops those that wait, and begins a new session. */
  replace(session: Session): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => {
      if (session !== this.state.session) {
        return Effect.void
      }
      const waiting = this.state.dropWaiting()
      const { runs, settings: { name } } = this.state
      session.lost()
      this.state.session = new Session(this.state.settings)
      return Effect.zipRight(
        report.leaseLost({ name, running: runs.size, waiting }),
        this.register
      )
    })
  }

  /** The same, for a caller that goes on in any case. */
  replaceOrRetry(session: Session): Effect.Effect<void> {
    return Effect.catchAllCause(this.replace(session), (cause) =>
      Effect.zipRight(
        report.statementFailed("begin a new session", cause),
        Effect.sync(() => this.state.renewing.wake())
      ))
  }
}
