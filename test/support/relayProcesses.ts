/**
 * Starts relays in processes of their own, and waits for what they tell.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Exit, Layer, Scope } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { bundled, programDatabase } from "./childProgram.js"
import { Job, type RelayEvent, type RelayProgram, SecondJob } from "./relayJobs.js"
import { until } from "./until.js"

const file = await bundled("relayProcess")

type Run = Extract<RelayEvent, { readonly n: number }>

const isRun = (event: RelayEvent): event is Run => "n" in event

/** Starts a process, which is killed with the Scope, if it has not ended. */
export const startProcess = (options: Omit<RelayProgram, "dialect" | "database">) =>
  Effect.gen(function*() {
    const program: RelayProgram = { ...options, ...(yield* programDatabase) }
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
