/**
 * One round of a relay's work, step by step, for tests of what becomes ready.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Airlock from "../../Airlock.js"
import { intentOf } from "../../internal/outbox/intentRow.js"
import type { RelaySession } from "../../internal/outbox/store/session.js"
import { store } from "./rows.js"

const leaseMillis = 600_000

/** Registers the session of a relay that runs the mails, and claims all of them. @internal */
export const claimAll = Effect.gen(function*() {
  const { claim, look, register } = yield* store
  const session: RelaySession = { id: crypto.randomUUID(), name: "suite", tasks: [["Mail", 1]], queues: null }
  yield* register(session, leaseMillis)
  const { lanes } = yield* look
  const claimed = yield* claim({
    lease: session.id,
    claimNumber: 1,
    lanes: lanes.map(({ queue, task, version }) => ({ queue, task, version, limit: 100 })),
    limit: 100,
    maxBytes: 1_000_000
  })
  return { lease: session.id, claimed, ids: claimed.map(({ id }) => id) }
})

/** Claims all ready mails, runs and acknowledges them, and returns their addresses. @internal */
export const deliver = Effect.gen(function*() {
  const { acknowledge, begin, expire, look, reap, unregister } = yield* store
  const { handlers } = yield* Airlock.Airlock
  if ((yield* look).isDue) {
    yield* expire
    yield* reap
  }
  const { claimed, ids, lease } = yield* claimAll
  yield* begin(lease, { upTo: 0, except: [], last: 1, also: ids })
  for (const row of claimed) {
    const [outcome] = yield* handlers.run([yield* intentOf(row, handlers)], { attempt: row.attempt + 1 })
    if (outcome !== undefined && Exit.isSuccess(outcome)) {
      yield* acknowledge(lease, [row.id])
    }
  }
  yield* unregister(lease)
  return claimed.map(({ payload }) => (JSON.parse(payload) as { readonly to: string }).to).sort()
})
