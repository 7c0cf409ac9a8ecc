/**
 * The channel of PostgreSQL's LISTEN and NOTIFY on which writers tell the relays of other processes that rows are ready. A
 * notification can be lost, so relays also poll.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Hash from "effect/Hash"

/** PostgreSQL refuses to notify a longer name, and cuts it in a LISTEN. */
const maxBytes = 63

/** The channel of a table. `undefined` if the database has no channels. @internal */
export const channelOf = (client: SqlClient, table: string): string | undefined =>
  client.onDialectOrElse({ pg: () => channelName(table), orElse: () => undefined })

/** @internal */
export const channelName = (table: string): string => {
  const name = `airlock:${table}`
  return new TextEncoder().encode(name).length <= maxBytes
    ? name
    // If two tables share a channel, their relays look once too often.
    : `airlock:#${(Hash.string(table) >>> 0).toString(16)}`
}
