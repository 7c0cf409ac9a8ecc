/**
 * What a client makes its statements of, for one that makes them of something else.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"

/** @internal */
export type Parts = { -readonly [K in 0 | 1 | 2 | 3]: Parameters<typeof Statement.make>[K] }

/** They are fields of each statement, which the type of statements does not show. @internal */
export const partsOf = (client: SqlClient) =>
  client`` as unknown as {
    readonly acquirer: Parts[0]
    readonly compiler: Parts[1]
    readonly spanAttributes: Parts[2]
    readonly transformRows: Parts[3]
  }
