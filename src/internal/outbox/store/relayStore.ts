/**
 * The store as a relay uses it: on connections of its own, so that it waits neither in the pool of the application nor, with a
 * renewal, for a claim.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as EffectScope from "effect/Scope"
import { ownConnection } from "./ownConnection.js"
import { makeStore, type Store } from "./store.js"

/** Its methods cannot run in a transaction. @internal */
export const relayStore = (client: SqlClient, table: string): Effect.Effect<Store, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const store = makeStore(client, table)
    const upkeep = yield* ownConnection(client)
    const claims = yield* ownConnection(client, "claims")
    const results = yield* ownConnection(client, "results")
    return {
      ...store,
      register: (session, leaseMillis) => upkeep.run(store.register(session, leaseMillis)),
      heartbeat: (session, leaseMillis) => upkeep.run(store.heartbeat(session, leaseMillis)),
      begin: (lease, begun) => upkeep.run(store.begin(lease, begun)),
      unregister: (lease) => upkeep.run(store.unregister(lease)),
      look: claims.run(store.look),
      claim: (options) => claims.run(store.claim(options)),
      expire: claims.run(store.expire),
      reap: claims.run(store.reap),
      unclaim: (lease, ids) => claims.run(store.unclaim(lease, ids)),
      unclaimOthers: (lease, known) => claims.run(store.unclaimOthers(lease, known)),
      prune: (olderThanMillis, limit) => claims.run(store.prune(olderThanMillis, limit)),
      acknowledge: (lease, ids, options) => results.run(store.acknowledge(lease, ids, options)),
      fail: (lease, failures) => results.run(store.fail(lease, failures))
    }
  })
