/**
 * The tests that an outbox passes on every supported database. One call runs them on yours.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { describe } from "@effect/vitest"
import type * as Layer from "effect/Layer"
import { testsOn } from "./suite/application.js"
import { commits } from "./suite/commits.js"
import { crashes } from "./suite/crashes.js"
import { orderOfIntents } from "./suite/order.js"
import { outcomesOfHandlers } from "./suite/outcomes.js"
import { relays } from "./suite/relays.js"
import { requests } from "./suite/requests.js"
import { transactions } from "./suite/transactions.js"
import { versions } from "./suite/versions.js"

/**
 * Defines the tests of an outbox on a database, in vitest. `client` returns the Layer of the database's client: each test
 * builds it again, and each time it must connect to the same database. The tests create and drop tables whose names begin with
 * `airlock_suite`. Each has a time limit of 30 seconds.
 *
 * @example
 * ```ts
 * import { SqliteClient } from "@effect/sql-sqlite-node"
 * import * as OutboxSuite from "effect-airlock/testing/OutboxSuite"
 *
 * OutboxSuite.run("SQLite", () => SqliteClient.layer({ filename: "/tmp/suite.db" }))
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const run = (name: string, client: () => Layer.Layer<SqlClient, unknown>, options?: {
  /** Whether the answer to a COMMIT can be lost. Set it to `false` for a database inside of the process. Default: `true`. */
  readonly losesAnswers?: boolean
}): void => {
  const test = testsOn(client)
  describe(`the outbox on ${name}`, () => {
    transactions(test)
    requests(test)
    if (options?.losesAnswers !== false) {
      commits(test)
    }
    crashes(test)
    outcomesOfHandlers(test)
    orderOfIntents(test)
    versions(test)
    relays(test)
  })
}
