/**
 * Reads the parts from which a client makes its statements. A decorated client makes statements from the same parts, with
 * another connection.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"

/** @internal */
export type StatementParts = { -readonly [K in 0 | 1 | 2 | 3]: Parameters<typeof Statement.make>[K] }

/** The parts are fields of every statement that its type does not show. @internal */
export const statementPartsOf = (client: SqlClient) =>
  client`` as unknown as {
    readonly acquirer: StatementParts[0]
    readonly compiler: StatementParts[1]
    readonly spanAttributes: StatementParts[2]
    readonly transformRows: StatementParts[3]
  }
