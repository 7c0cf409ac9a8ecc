/**
 * The names of the outbox's tables and indexes.
 *
 * @internal
 */
import type { Dialect } from "./dialect.js"

/** The tables, as names or as quoted names. @internal */
export interface TableNames {
  readonly outbox: string
  /** Has a row for each session of a relay. */
  readonly relay: string
  /** Has a row for each queue that is or was paused. */
  readonly queue: string
  /** Has one row, with the version of the schema. */
  readonly version: string
}

/** @internal */
export const tableNames = (table: string): TableNames => ({
  outbox: table,
  relay: `${table}_relay`,
  queue: `${table}_queue`,
  version: `${table}_version`
})

/**
 * The name of an index. It has no schema, because an index is in the schema of its table.
 *
 * @internal
 */
export const indexName = (table: string, name: string): string => `${table.slice(table.lastIndexOf(".") + 1)}_${name}`

/** The quoted names of the tables and of their indexes. @internal */
export interface Tables extends TableNames {
  /** The name of the outbox's table, as it was given. */
  readonly name: string
  readonly index: (name: string) => string
}

/** The longest text that is added to the name of the table, for the name of an index or another table. */
const longestSuffix = "_ordering"

/** The maximum length of a name. PostgreSQL would cut a longer one, so that two names could become the same. */
const limits: Partial<
  Record<Dialect["name"], { readonly length: (name: string) => number, readonly max: number, readonly unit: string }>
> = {
  pg: { length: (name) => new TextEncoder().encode(name).length, max: 63, unit: "bytes" },
  mysql: { length: (name) => [...name].length, max: 64, unit: "characters" }
}

/**
 * Throws a `RangeError` if the name is too long for the database.
 *
 * @internal
 */
export const quotedTables = (dialect: Dialect, name: string): Tables => {
  const { quote } = dialect
  const limit = limits[dialect.name]
  const length = limit === undefined ? 0 : limit.length(indexName(name, "")) - 1
  if (limit !== undefined && length + longestSuffix.length > limit.max) {
    throw new RangeError(
      `The outbox table "${name}" has a name of ${length} ${limit.unit}, and this database allows ` +
        `${
          limit.max - longestSuffix.length
        }, because the outbox adds up to ${longestSuffix.length} for its indexes. Give the ` +
        "outbox a shorter table name."
    )
  }
  const { outbox, queue, relay, version } = tableNames(name)
  return {
    name,
    outbox: quote(outbox),
    relay: quote(relay),
    queue: quote(queue),
    version: quote(version),
    index: (index) => quote(indexName(name, index))
  }
}
