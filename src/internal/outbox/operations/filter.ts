/**
 * Which rows an operation looks for, as a condition of SQL. Each database has its own way to look into a JSON text: a record for
 * each.
 *
 * @internal
 */
import type { Dialect, DialectName } from "../store/dialect.js"
import { mysqlJsonTable } from "../store/dialect.js"
import type { Values } from "../store/statement.js"
import { type OutboxState, states } from "./outboxRow.js"

/**
 * Which rows to look for. A row must fulfil all conditions that are given. A list means any of its items.
 *
 * `id`, `orderingKey`, `dedupeKey` with `task`, and the states other than `blocked` are found by an index. A condition on `payload`
 * reads the payloads of all rows that fulfil the others.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutboxFilter {
  readonly id?: string | ReadonlyArray<string>
  readonly task?: string | ReadonlyArray<string>
  readonly queue?: string | ReadonlyArray<string>
  readonly state?: OutboxState | ReadonlyArray<OutboxState>
  readonly orderingKey?: string
  readonly dedupeKey?: string
  /** When the intent was enqueued: at `from` or later, and before `to`. */
  readonly enqueued?: { readonly from?: Date, readonly to?: Date }
  /**
   * A value in the payload, as the task's Schema has encoded it: `{ path: ["order", "id"], equals: 7 }`. A number in the path is
   * the index in a list. A payload that a codec has encoded has no such value.
   */
  readonly payload?: {
    readonly path: readonly [string | number, ...Array<string | number>]
    readonly equals: string | number | boolean | null
  }
}

/** A condition on the row `r`, with the values of its parameters. @internal */
export interface Condition {
  readonly where: string
  readonly values: Values
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Whether a text can be the id of a row. PostgreSQL refuses a statement with another text. @internal */
export const isId = (text: string): boolean => uuid.test(text)

const listOf = <A>(value: A | ReadonlyArray<A>): ReadonlyArray<A> =>
  Array.isArray(value) ? value as ReadonlyArray<A> : [value as A]

const never: Condition = { where: "1 = 0", values: {} }

/** The condition of a filter. @internal */
export const conditionOf = (dialect: Dialect, filter: OutboxFilter): Condition => {
  const { dedupeKey, enqueued, id, orderingKey, payload, queue, state, task } = filter
  const equals = (column: string, name: string, value: string): Condition => ({
    where: `r.${column} = :${name}`,
    values: { [name]: value }
  })
  const oneOf = (column: "id" | "task" | "queue", name: string, values: ReadonlyArray<string>): Condition => {
    const [only] = values
    return only === undefined
      ? never
      : values.length === 1 && column !== "id"
      ? equals(column, name, only)
      : { where: isOneOf[dialect.name](column, name), values: { [name]: dialect.list(values) } }
  }
  const conditions: ReadonlyArray<Condition | undefined> = [
    id === undefined ? undefined : oneOf("id", "ids", listOf(id).filter(isId).map((id) => id.toLowerCase())),
    task === undefined ? undefined : oneOf("task", "tasks", listOf(task)),
    queue === undefined ? undefined : oneOf("queue", "queues", listOf(queue)),
    state === undefined ? undefined : stateIn(listOf(state)),
    orderingKey === undefined ? undefined : equals("ordering_key", "ordering", orderingKey),
    dedupeKey === undefined ? undefined : equals("dedupe_key", "dedupe", dedupeKey),
    enqueued?.from === undefined ? undefined : {
      where: "r.enqueued_at >= :from",
      values: { from: enqueued.from.getTime() }
    },
    enqueued?.to === undefined ? undefined : { where: "r.enqueued_at < :to", values: { to: enqueued.to.getTime() } },
    payload === undefined ? undefined : payloadHas[dialect.name](payload)
  ]
  return all(conditions.flatMap((condition) => condition ?? []))
}

/** The states are written into the statement, so that the databases find the partial indexes. @internal */
export const stateIn = (given: ReadonlyArray<OutboxState>): Condition => {
  const known = states.filter((state) => given.includes(state))
  return known.length === 0
    ? never
    : { where: `r.state IN (${known.map((state) => `'${state}'`).join(", ")})`, values: {} }
}

/** @internal */
export const all = (conditions: ReadonlyArray<Condition>): Condition => ({
  where: conditions.length === 0 ? "1 = 1" : conditions.map(({ where }) => `(${where})`).join(" AND "),
  values: Object.assign({}, ...conditions.map(({ values }) => values)) as Values
})

const isOneOf: Record<DialectName, (column: "id" | "task" | "queue", name: string) => string> = {
  pg: (column, name) => `r.${column} = ANY(CAST(:${name} AS ${column === "id" ? "UUID" : "TEXT"}[]))`,
  sqlite: (column, name) => `r.${column} IN (SELECT value FROM json_each(:${name}))`,
  mysql: (column, name) =>
    `r.${column} IN (SELECT given FROM ${
      mysqlJsonTable(`:${name}`, [{ name: "given", type: column === "id" ? "id" : "key", path: "$" }])
    } AS given_${name})`
}

type PayloadFilter = NonNullable<OutboxFilter["payload"]>

/** A path as SQLite and MySQL write it. */
const jsonPath = (path: PayloadFilter["path"]): string =>
  `$${path.map((key) => typeof key === "number" ? `[${key}]` : `.${JSON.stringify(key)}`).join("")}`

/**
 * A payload that a codec has encoded is no error. PostgreSQL before version 16 cannot tell whether a text is JSON, and fails for a
 * payload that only begins like JSON. The outbox writes no such payload.
 */
const payloadHas: Record<DialectName, (filter: PayloadFilter) => Condition> = {
  // The type JSON keeps the text of a value. JSONB compares numbers by value, but refuses some escapes in texts.
  pg: ({ equals, path }) => ({
    where: String.raw`CASE WHEN r.payload ~ '^\s*[\[{]' AND COALESCE(r.options, '') NOT LIKE '%"codec"_true%' THEN CASE
  WHEN CAST(CAST(r.payload AS JSON) #> CAST(:path AS TEXT[]) AS TEXT) LIKE '%\\u%'
  THEN CAST(CAST(r.payload AS JSON) #> CAST(:path AS TEXT[]) AS TEXT) = CAST(:value AS TEXT)
  ELSE CAST(CAST(r.payload AS JSON) #> CAST(:path AS TEXT[]) AS JSONB) = CAST(:value AS JSONB) END ELSE FALSE END`,
    values: { path: path.map(String), value: JSON.stringify(equals) }
  }),
  sqlite: ({ equals, path }) => {
    const type = "json_type(r.payload, :path)"
    const value = "json_extract(r.payload, :path)"
    const has = typeof equals === "string"
      ? `${type} = 'text' AND ${value} = :value`
      : typeof equals === "number"
      ? `${type} IN ('integer', 'real') AND ${value} = :value`
      : `${type} = '${String(equals)}'`
    return {
      where: `CASE WHEN json_valid(r.payload) THEN ${has} ELSE FALSE END`,
      values: { path: jsonPath(path), value: equals }
    }
  },
  mysql: ({ equals, path }) => {
    const found = "JSON_EXTRACT(r.payload, :path)"
    const has = typeof equals === "string"
      ? `JSON_TYPE(${found}) = 'STRING' AND JSON_UNQUOTE(${found}) = :value`
      : typeof equals === "number"
      ? `JSON_TYPE(${found}) IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL') AND JSON_UNQUOTE(${found}) + 0 = :value`
      : equals === null
      ? `JSON_TYPE(${found}) = 'NULL'`
      : `JSON_TYPE(${found}) = 'BOOLEAN' AND JSON_UNQUOTE(${found}) = '${String(equals)}'`
    return {
      where: `CASE WHEN JSON_VALID(r.payload) THEN ${has} ELSE FALSE END`,
      values: { path: jsonPath(path), value: equals }
    }
  }
}
