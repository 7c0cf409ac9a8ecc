/**
 * Injects faults of a database connection, for tests: the connection breaks before or after a statement, such as a COMMIT.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { statementPartsOf } from "../internal/transaction/statementParts.js"

/**
 * Breaks the connections of the client that {@link layer} decorates. A broken statement fails with a `SqlError` whose cause has
 * the code `ECONNRESET`.
 *
 * @since 0.1.0
 * @category services
 */
export class SqlFault extends Context.Tag("effect-airlock/testing/SqlFault")<SqlFault, {
  /**
   * Breaks the connection once, at the next statement that contains this text: before the database gets the statement, or after
   * it has executed it, so that the answer is lost.
   */
  readonly breakAt: (text: string, when: "before" | "after") => Effect.Effect<void>
  /** Fails every statement while an Effect runs, as if the database were down. */
  readonly whileDown: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}>() {}

/**
 * Decorates a client, and the tag of its driver, so that faults can be injected. Nothing fails before a method of
 * {@link SqlFault} is called.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer } from "effect"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 * import * as SqlFault from "effect-airlock/testing/SqlFault"
 *
 * const Faulty = SqlFault.layer.pipe(Layer.provide(PgClient.layer({ database: "test" })))
 *
 * declare const checkout: Effect.Effect<void>
 *
 * // The COMMIT is done, but its answer is lost.
 * const lost = Effect.gen(function*() {
 *   const fault = yield* SqlFault.SqlFault
 *   yield* fault.breakAt("COMMIT", "after")
 *   yield* SqlTransaction.transaction(checkout)
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SqlClient.SqlClient | SqlFault, never, SqlClient.SqlClient> = Layer.effectContext(
  Effect.map(Effect.context<SqlClient.SqlClient>(), (context) => {
    const client = Context.get(context, SqlClient.SqlClient)
    const faults = new Faults()
    const faulty = decorate(client, faults, Effect.map(client.reserve, (connection) => faults.wrap(connection)))
    const entries = [...context.unsafeMap].filter(([, service]) => service === client)
    return Context.unsafeMake<SqlClient.SqlClient>(new Map(entries.map(([key]) => [key, faulty]))).pipe(
      Context.add(SqlFault, {
        breakAt: (text, when) =>
          Effect.sync(() => {
            faults.next = { text, when }
          }),
        whileDown: (self) =>
          Effect.acquireUseRelease(
            Effect.sync(() => faults.down++),
            () => self,
            () => Effect.sync(() => faults.down--)
          )
      })
    )
  })
)

const broken = new SqlError({ message: "The connection broke", cause: { code: "ECONNRESET" } })

class Faults {
  next: { readonly text: string, readonly when: "before" | "after" } | undefined
  down = 0

  wrap(connection: Connection): Connection {
    const guarded = new Set<PropertyKey>(["execute", "executeRaw", "executeValues", "executeUnprepared"])
    return new Proxy(connection, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key)
        return typeof member === "function" && guarded.has(key)
          ? (sql: string, ...rest: ReadonlyArray<unknown>) => this.guard(sql, () => member.call(target, sql, ...rest))
          : member
      }
    })
  }

  private guard<A>(sql: string, run: () => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      if (this.down > 0) {
        return Effect.fail(broken)
      }
      const { next } = this
      if (next === undefined || !sql.includes(next.text)) {
        return run()
      }
      this.next = undefined
      return next.when === "before" ? Effect.fail(broken) : Effect.zipRight(run(), Effect.fail(broken))
    })
  }
}

const decorate = (
  client: SqlClient.SqlClient,
  faults: Faults,
  reserve: SqlClient.SqlClient["reserve"]
): SqlClient.SqlClient => {
  const { acquirer, compiler, spanAttributes, transformRows } = statementPartsOf(client)
  const faulty = Effect.map(acquirer, (connection) => faults.wrap(connection))
  const statements = Statement.make(faulty, compiler, spanAttributes, transformRows)
  const decorated: SqlClient.SqlClient = Object.assign(statements, client, { ...statements }, {
    reserve,
    withoutTransforms: () => {
      const without = client.withoutTransforms()
      return without === client ? decorated : decorate(without, faults, reserve)
    }
  })
  return Object.assign(decorated, { safe: decorated })
}
