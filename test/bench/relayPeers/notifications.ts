/**
 * LISTEN and NOTIFY without a table: the least that a job can take from one process to another through PostgreSQL.
 */
import { Effect } from "effect"
import { Client } from "pg"
import { transaction } from "./database.js"
import { type Channel, email, now, type Payload } from "./peer.js"

export const notifications = (url: string): Channel => ({
  setup: Effect.void,
  work: (onJob) =>
    Effect.asVoid(Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new Client(url)
        client.on("notification", ({ payload }) => onJob(JSON.parse(payload!) as Payload))
        await client.connect()
        await client.query("LISTEN jobs")
        return client
      }),
      (client) => Effect.promise(() => client.end())
    )),
  writer: transaction(url, "SELECT pg_notify('jobs', $1)", () => [JSON.stringify({ at: now(), email })])
})
