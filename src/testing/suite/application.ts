/**
 * The application of the suite: it sends mail, has a table of orders, and stores its intents in an outbox.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Airlock from "../../Airlock.js"
import type { AirlockScope, ScopeOptions } from "../../AirlockScope.js"
import { tableNames } from "../../internal/outbox/store/tables.js"
import * as Outbox from "../../Outbox.js"
import * as SqlTransaction from "../../SqlTransaction.js"
import * as Task from "../../Task.js"
import * as SqlFault from "../SqlFault.js"

/** The outbox's table. @internal */
export const table = "airlock_suite_outbox"

/** @internal */
export const Mail = Task.make("Mail", { payload: { to: Schema.String } })

/** The addresses that the handler has sent to, in order. @internal */
export class Sent extends Context.Tag("effect-airlock/testing/OutboxSuite/Sent")<Sent, Array<string>>() {}

/** The client of the database, which no application has decorated. @internal */
export class Connections extends Context.Tag("effect-airlock/testing/OutboxSuite/Connections")<
  Connections,
  Layer.Layer<SqlClient>
>() {}

/** @internal */
export type Application = Airlock.Airlock | Sent | SqlClient

/** What a test can use. @internal */
export type Given = Application | SqlFault.SqlFault | Connections | AirlockScope | Scope.Scope

/** Defines a test, which has the application and fresh tables. @internal */
export type DefineTest = (
  title: string,
  self: Effect.Effect<unknown, unknown, Given>,
  options?: Outbox.OutboxOptions & {
    /** Whether time passes by itself. Default: the test has a `TestClock`. */
    readonly live?: boolean
  }
) => void

const MailLive = Layer.unwrapEffect(
  Effect.map(
    Sent,
    (sent) =>
      Mail.toLayer(({ to }, { attempt }) =>
        Effect.sync(() => {
          sent.push(attempt === 1 ? to : `${to}, attempt ${attempt}`)
        })
      )
  )
)

/** An application with its own Airlock and outbox, on a database that other applications can share. @internal */
export const application = (
  options?: Outbox.OutboxOptions
): Layer.Layer<
  Application,
  Effect.Effect.Error<ReturnType<typeof Outbox.migrate>> | Outbox.OutboxSchemaError,
  SqlClient
> =>
  MailLive.pipe(
    Layer.provideMerge(SqlTransaction.layer),
    Layer.provideMerge(Outbox.live({ table, heldTimeout: "1 minute", ...options })),
    Layer.provideMerge(Layer.sync(Sent, () => []))
  )

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient
  yield* sql`DROP TABLE IF EXISTS airlock_suite_orders`
  yield* Effect.forEach(Object.values(tableNames(table)), (name) => sql.unsafe(`DROP TABLE IF EXISTS ${name}`))
  yield* sql`CREATE TABLE airlock_suite_orders (name VARCHAR(100) PRIMARY KEY)`
  yield* Outbox.migrate(table)
})

/** Defines tests on a database. @internal */
export const testsOn = (client: () => Layer.Layer<SqlClient, unknown>): DefineTest => {
  const database = Layer.suspend(() =>
    Layer.orDie(
      Layer.effectDiscard(tables).pipe(
        Layer.provideMerge(SqlFault.layer),
        Layer.provideMerge(client())
      )
    )
  )
  return (title, self, { live = false, ...options } = {}) =>
    (live ? it.scopedLive : it.scoped)(title, () =>
      Effect.gen(function*() {
        const connections = Layer.succeedContext(yield* Layer.build(database))
        const services = yield* Layer.build(
          application(options).pipe(
            Layer.provideMerge(Airlock.unchecked),
            Layer.provideMerge(Layer.succeed(Connections, connections)),
            Layer.provideMerge(connections)
          )
        )
        yield* Effect.provide(self, services)
      }), 30_000)
}

type EnqueueOptions = Parameters<typeof Airlock.enqueue>[2]

/** @internal */
export const mail = (to: string, options?: EnqueueOptions) => Effect.asVoid(Airlock.enqueue(Mail, { to }, options))

/** Stores an order and enqueues a mail about it. @internal */
export const order = (name: string, options?: EnqueueOptions) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient
    yield* sql`INSERT INTO airlock_suite_orders (name) VALUES (${name})`
    yield* mail(name, options)
  })

/** The names of all orders. @internal */
export const orders = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql<{ name: string }>`SELECT name FROM airlock_suite_orders ORDER BY name`,
    (rows) => rows.map(({ name }) => name)
  ))

/** @internal */
export const transaction = SqlTransaction.transaction

/** Runs an Effect as a request does, in a scope outside of its transactions. @internal */
export const request = <A, E, R>(self: Effect.Effect<A, E, R>, options: ScopeOptions<never> = {}) =>
  Airlock.scoped({ name: "request", ...options })(self)

/** Builds another application on the same database, which closes with the Scope. @internal */
export const otherApplication = (options?: Outbox.OutboxOptions) =>
  Effect.flatMap(Connections, (connections) => Layer.build(application(options).pipe(Layer.provide(connections))))
