/**
 * Faults of a database connection, for tests: before, during or after any statement, a COMMIT above all.
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
import { partsOf } from "../internal/sql/parts.js"

/**
 * What breaks, and when.
 *
 * @since 0.1.0
 * @category services
 */
export class SqlFault extends Context.Tag("effect-airlock/testing/SqlFault")<SqlFault, {
  /**
   * The connection breaks at the next statement that has this text: before the database gets it, or when it has done it and
   * its answer is lost.
   */
  readonly breakAt: (text: string, when: "before" | "after") => Effect.Effect<void>
  /** While an Effect runs, the database answers nothing. */
  readonly whileDown: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}>() {}

/**
 * Puts faults between a client and its database; none, until they are asked for. The driver's own tag is served too.
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
 * // Nobody knows what came of the COMMIT.
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
    const faulty = decorate(client, faults, Effect.map(client.reserve, (connection) => faults.between(connection)))
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

  between(connection: Connection): Connection {
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
  const { acquirer, compiler, spanAttributes, transformRows } = partsOf(client)
  const faulty = Effect.map(acquirer, (connection) => faults.between(connection))
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
