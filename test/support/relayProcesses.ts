/**
 * Starts relays in processes of their own, and waits for what they tell.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Exit, Layer, Scope } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, rmSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import { Job, type RelayEvent, type RelayProgram, SecondJob } from "./relayJobs.js"
import { mysql, postgres } from "./servers.js"
import { until } from "./until.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The program in one file, which starts ten times as fast. It is in the repository, so that it finds the driver of SQLite. */
const file = `${root}/.tmp/relayProcess-${process.pid}.cjs`
mkdirSync(`${root}/.tmp`, { recursive: true })
await build({
  entryPoints: [fileURLToPath(new URL("relayProcess.ts", import.meta.url))],
  outfile: file,
  bundle: true,
  platform: "node",
  format: "cjs",
  tsconfig: `${root}/tsconfig.json`,
  external: ["better-sqlite3", "pg-native"],
  logLevel: "error"
})
afterAll(() => rmSync(file, { force: true }))

/** The database of the client, as another process can open it. */
const database = Effect.flatMap(
  SqlClient,
  (sql): Effect.Effect<Pick<RelayProgram, "dialect" | "database">, unknown> =>
    sql.onDialectOrElse({
      pg: () =>
        Effect.map(sql<{ readonly name: string }>`SELECT current_database() AS name`, ([row]) => ({
          dialect: "pg" as const,
          database: new URL(`/${row!.name}`, postgres.url).href
        })),
      mysql: () =>
        Effect.map(sql<{ readonly name: string }>`SELECT DATABASE() AS name`, ([row]) => ({
          dialect: "mysql" as const,
          database: new URL(`/${row!.name}`, mysql.url).href
        })),
      orElse: () =>
        Effect.map(sql<{ readonly file: string }>`PRAGMA database_list`, ([row]) => ({
          dialect: "sqlite" as const,
          database: row!.file
        }))
    })
)

type Run = Extract<RelayEvent, { readonly n: number }>

const isRun = (event: RelayEvent): event is Run => "n" in event

/** Starts a process, which is killed with the Scope, if it has not ended. */
export const startProcess = (options: Omit<RelayProgram, "dialect" | "database">) =>
  Effect.gen(function*() {
    const program: RelayProgram = { ...options, ...(yield* database) }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [file, JSON.stringify(program)], {
          stdio: ["pipe", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const events: Array<RelayEvent> = []
    const exited = once(child, "exit").then(([code]) => code as number | null)
    const lines = createInterface(child.stdout)
    const told = once(lines, "close")
    lines.on("line", (line) => {
      if (line.startsWith("{")) {
        // `relayProcess.ts` writes these lines.
        events.push(JSON.parse(line) as RelayEvent)
      } else {
        console.error(line)
      }
    })
    const runs = (is: Run["is"]) => events.filter(isRun).filter((event) => event.is === is)
    return {
      events,
      /** The numbers of the jobs whose runs have come so far. */
      numbers: (is: Run["is"]) => runs(is).map(({ n }) => n),
      runs,
      logs: () => events.flatMap((event) => event.is === "log" ? [event.line] : []),
      /** Waits until an event was told this many times. */
      untilTold: (is: RelayEvent["is"], times = 1) =>
        until(Effect.sync(() => events.filter((event) => event.is === is).length >= times)),
      untilLogged: (part: string) =>
        until(Effect.sync(() => events.some((event) => event.is === "log" && event.line.includes(part)))),
      signal: (signal: NodeJS.Signals) => Effect.sync(() => child.kill(signal)),
      /** Lets the handlers go on that wait. */
      goOn: Effect.sync(() => child.stdin.write("\n")),
      /** Waits for the end of the process, and returns its exit code. */
      exited: Effect.promise(() => told.then(() => exited))
    }
  })

/** Starts a process, and waits until its relay runs. */
export const startOpen = (options: Omit<RelayProgram, "dialect" | "database">) =>
  Effect.tap(startProcess(options), (child) => child.untilTold("open"))

/** Enqueues jobs of a version, as an application does that ends then. */
export const enqueueJobs = (numbers: ReadonlyArray<number>, version: 1 | 2 = 1) =>
  Effect.gen(function*() {
    const client = yield* Effect.context<SqlClient>()
    const scope = yield* Scope.make()
    const services = yield* Layer.buildWithScope(Outbox.live().pipe(Layer.provide(Layer.succeedContext(client))), scope)
    yield* Effect.forEach(numbers, (n) =>
      version === 1 ? Airlock.enqueue(Job, { n }) : Airlock.enqueue(SecondJob, { number: n }))
      .pipe(Airlock.scoped, Effect.provide(services))
    yield* Scope.close(scope, Exit.void)
  })

/** The rows of the outbox, as far as the tests look at them. */
export const jobs = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly payload: string, readonly state: string, readonly attempt: number, readonly relay: string | null }>`
      SELECT o.payload, o.state, o.attempt, r.name AS relay
      FROM airlock_outbox o LEFT JOIN airlock_outbox_relay r ON r.id = o.lease ORDER BY o.id`,
    (rows) =>
      rows.map(({ attempt, payload, relay, state }) => ({
        // The payloads of both versions.
        n: Object.values(JSON.parse(payload) as Readonly<Record<string, number>>)[0]!,
        state,
        attempt: Number(attempt),
        relay
      }))
  ))

/** Waits until no row is left but dead letters. */
export const untilDone = until(Effect.map(jobs, (jobs) => jobs.every(({ state }) => state === "dead")))

/** Ends the lease of a relay, as if its time had passed. */
export const endLease = (name: string) =>
  Effect.flatMap(SqlClient, (sql) => sql`UPDATE airlock_outbox_relay SET expires_at = 0 WHERE name = ${name}`)

/** Ends all connections of other processes. */
export const endConnections = Effect.flatMap(SqlClient, (sql) =>
  sql.onDialectOrElse({
    pg: () =>
      Effect.asVoid(
        sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'relay'`
      ),
    orElse: () =>
      Effect.flatMap(
        sql<
          { readonly id: number }
        >`SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()`,
        (rows) => Effect.forEach(rows, ({ id }) => Effect.ignore(sql.unsafe(`KILL ${Number(id)}`)), { discard: true })
      )
  }))
