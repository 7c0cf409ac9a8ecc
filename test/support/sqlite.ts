/**
 * For tests that need some database: SQLite, in a file of its own.
 */
import * as databases from "./databases.js"

export { insertLine, insertOrder, orders } from "./databases.js"

/** The client as its driver gives it. */
export const undecorated = databases.undecorated(databases.sqlite)

/** The same where transactions are scopes, with the recording task. */
export const layer = databases.decorated(databases.sqlite)
