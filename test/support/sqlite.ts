/**
 * SQLite in a temporary file, for tests that need any one database.
 */
import * as databases from "./databases.js"

export { insertLine, insertOrder, orders } from "./databases.js"

/** The driver's own client, with fresh tables. */
export const undecorated = databases.undecorated(databases.sqlite)

/** The same client with `SqlTransaction.layer`, and the task that records what left. */
export const layer = databases.decorated(databases.sqlite)
