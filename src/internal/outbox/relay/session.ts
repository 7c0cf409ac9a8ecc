/**
 * The session of a relay, whose id is the lease of the rows that it claims.
 *
 * Other relays take the rows over when the session has not been renewed for the time of the lease, by the clock of the database.
 * A process that was paused does not know that yet when it goes on. So each session also has a deadline by the process's own
 * monotonic clock, which begins before the statement that renewed it: no handler begins after that.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Lane } from "../store/row.js"
import type { RelaySession } from "../store/session.js"
import { anyQueue, type RelaySettings } from "./settings.js"

/** @internal */
export class Session implements RelaySession {
  readonly id: string = crypto.randomUUID()
  readonly name: string
  readonly queues: ReadonlyArray<string> | null
  tasks: RelaySession["tasks"] = []
  /** By the monotonic clock, in milliseconds. Absent until the session is registered. */
  private deadline: number | undefined
  private isLost = false

  constructor(private readonly settings: Pick<RelaySettings, "name" | "queues" | "lease">) {
    this.name = settings.name
    const served = [...settings.queues].flatMap(([queue, limit]) => limit > 0 ? [queue] : [])
    this.queues = served.includes(anyQueue) ? null : served
  }

  get leaseMillis(): number {
    return Duration.toMillis(this.settings.lease)
  }

  get isRegistered(): boolean {
    return this.deadline !== undefined
  }

  /** Notes a renewal by a statement that was sent at this time. */
  renewed(sentAt: number): void {
    this.deadline = sentAt + this.leaseMillis
  }

  /** Other relays have taken over its rows. */
  lost(): void {
    this.isLost = true
  }

  /** Whether its rows are still its own, as far as this process can know. */
  isAlive(now: number): boolean {
    return !this.isLost && this.deadline !== undefined && now < this.deadline
  }
}

/** Whether a relay that serves these tasks can run the rows of a lane: those of its own version and of older ones. @internal */
export const isRunnable = (tasks: RelaySession["tasks"], { task, version }: Lane): boolean =>
  tasks === null || tasks.some(([name, newest]) => name === task && (newest === null || version <= newest))
