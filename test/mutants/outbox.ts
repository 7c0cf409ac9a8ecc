/** The outbox: its rows, its statements, and the relay. */
import { inFile, type Mutant } from "./mutant.js"

export const outbox: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/scope/outboxRows.ts", [
    {
      breaks: "outbox: a row is ready at once though a scope around may still discard it",
      symbol: "insertInto",
      replace: "held: scope.outer !== undefined || scope.options.approve !== undefined",
      by: "held: scope.options.approve !== undefined",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: a plan inserts rows",
      symbol: "insertRows",
      replace: "scope.planning",
      by: "false",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: a pending interruption delays a discard",
      symbol: "runOutbox",
      replace: `
        runWithDeadline(self, {
          what: \`The \${what} of rows\`,
          limit: scope.limits.dispatchTimeout,
          update: outsideScopes
        })`,
      by: "Effect.map(Effect.exit(self), (exit) => ({ exit, timeout: undefined }))",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: held rows are renewed though the outcome of their COMMIT is unknown",
      symbol: "forgetRows",
      replace: "outbox.forget(intents)",
      by: "Effect.void",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the rows of committed intents are not released",
      symbol: "releaseRows",
      replace: "outbox.release(intents)",
      by: "Effect.void",
      tests: ["test/outbox/suite.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/executor.ts", [
    {
      breaks: "outbox: a held row that nobody approved of is released when it expires",
      symbol: "makeExecutor",
      replace: `undecided ? "discard" : onExpiry`,
      by: "onExpiry",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: a flush joins the transaction that is open around it",
      symbol: "inNoTransaction",
      replace: "withoutTransaction(context)",
      by: "context",
      tests: ["test/outbox/composition.test.ts"]
    },
    {
      breaks: "outbox: the relays of this process are not notified of released rows",
      symbol: "makeExecutor.transactional",
      replace: "notify",
      by: "Effect.void",
      tests: ["test/outbox/relay.test.ts"]
    },
    {
      breaks: "outbox: the relays of this process are not notified of rows that a flush inserts",
      symbol: "makeExecutor.dispatch",
      replace: "notify",
      by: "Effect.void",
      tests: ["test/outbox/relay.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/holdings.ts", [
    {
      breaks: "outbox: held rows are not renewed",
      symbol: "Holdings.maintain",
      replace: "[...this.rows.keys()]",
      by: `[...this.idsOf("discard"), ...this.idsOf("release")]`,
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: rows that are still to be released or discarded are not renewed",
      symbol: "Holdings.maintain",
      replace: "[...this.rows.keys()]",
      by: `[...this.rows].flatMap(([id, is]) => is === "held" ? [id] : [])`,
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a release that fails is forgotten",
      symbol: "Holdings.perform",
      replace: "this.rows.set(id, operation)",
      by: `operation === "release" ? this.rows.delete(id) : this.rows.set(id, operation)`,
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a discard that fails is forgotten",
      symbol: "Holdings.perform",
      replace: "this.rows.set(id, operation)",
      by: `operation === "discard" ? this.rows.delete(id) : this.rows.set(id, operation)`,
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a row stays in the holdings after its release or discard",
      symbol: "Holdings.attempt",
      replace: "this.forget(ids)",
      by: "{}",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a discard that failed is not tried again",
      symbol: "Holdings.maintain",
      replace: `Effect.zipRight(Effect.suspend(() => this.attempt(this.idsOf("discard"), "discard")))`,
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a release that failed is not tried again",
      symbol: "Holdings.maintain",
      replace: `Effect.zipRight(Effect.suspend(() => this.attempt(this.idsOf("release"), "release")))`,
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: what is still to be released or discarded is not tried again at the end",
      symbol: "Holdings.close",
      replace: `this.idsOf("discard").length + this.idsOf("release").length === 0`,
      by: "true",
      tests: ["test/internal/outbox/holdings.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/cascade.ts", [
    {
      breaks: "outbox: a cascade does not count its first handler",
      symbol: "extendCascade",
      replace: "outer === undefined ? 1 : outer.depth + 1",
      by: "outer === undefined ? 0 : outer.depth + 1",
      tests: ["test/outbox/relay.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/dialect.ts", [
    {
      breaks: "outbox: the clock stands still in a transaction",
      symbol: "postgres.now",
      replace: { text: "statement_timestamp()" },
      by: "now()",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: rows that one transaction makes ready share one time",
      symbol: "postgres.nowMicros",
      replace: { text: "statement_timestamp()" },
      by: "now()",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: the clock is in the time zone of the session",
      symbol: "mysql.now",
      replace: { text: "UTC_TIMESTAMP(6)" },
      by: "NOW(6)",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a late acknowledgement does not look at the lease",
      symbol: "postgres",
      replace: { text: "(id, lease) IN (SELECT CAST(given ->> 'id' AS UUID), given ->> 'lease' " },
      by: "id IN (SELECT CAST(given ->> 'id' AS UUID) ",
      tests: ["test/internal/outbox/store/store.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/store.ts", [
    {
      breaks: "outbox: a discard leaves held rows",
      symbol: "makeStore.discard",
      replace: { text: "state IN ('held', 'ready')" },
      by: "state = 'ready'",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a discard deletes claimed rows",
      symbol: "makeStore.discard",
      replace: { text: "state IN ('held', 'ready')" },
      by: "state <> 'dead'",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a release makes claimed rows ready again",
      symbol: "makeStore.release",
      replace: { text: "state = 'held'" },
      by: "state <> 'dead'",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a renewal changes rows that are not held",
      symbol: "makeStore.renew",
      replace: { text: "state = 'held'" },
      by: "",
      tests: ["test/internal/outbox/store/store.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/claim.ts", [
    {
      breaks: "outbox: a held row that is to be discarded is released when it expires",
      symbol: "discards",
      replace: { text: "'held'" },
      by: "'dead'",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a held row deduplicates",
      symbol: "isDuplicate",
      replace: { text: "o.state = 'ready'" },
      by: "o.state IN ('held', 'ready')",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a claimed row deduplicates",
      symbol: "isDuplicate",
      replace: { text: "o.state = 'ready'" },
      by: "o.state IN ('claimed', 'ready')",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: duplicates stay and run later (PostgreSQL)",
      symbol: "inOneStatement",
      replace: { text: "(SELECT id FROM duplicates)" },
      by: "(SELECT id FROM duplicates WHERE FALSE)",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: duplicates stay and run later (MySQL, SQLite)",
      symbol: "inOneTransaction",
      replace: "withDedupeKey.length > 0",
      by: "false",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a claim waits for duplicates that a transaction discards",
      symbol: "inOneStatement",
      replace: { text: "FOR UPDATE OF d SKIP LOCKED" },
      by: "FOR UPDATE OF d",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a claim waits for locked rows (PostgreSQL)",
      symbol: "inOneStatement.claim",
      replace: { text: "FOR UPDATE SKIP LOCKED" },
      by: "FOR UPDATE",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a claim waits for locked rows (MySQL)",
      symbol: "inOneTransaction",
      replace: { text: "FOR UPDATE SKIP LOCKED" },
      by: "FOR UPDATE",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a row overtakes a claimed row with its ordering key",
      symbol: "isBehind",
      replace: { text: "o.state = 'claimed'" },
      by: "o.state = 'dead'",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a row overtakes a row with its ordering key that waits for its next attempt",
      symbol: "isBehind",
      replace: { text: "o.state = 'ready'" },
      by: "o.state = 'ready' AND o.due_at IS NULL",
      tests: ["test/internal/outbox/store/store.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/ownTransaction.ts", [
    {
      breaks: "outbox: a claim locks the gaps between rows",
      symbol: "begin.mysql",
      replace: `"SET TRANSACTION ISOLATION LEVEL READ COMMITTED"`,
      by: "",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/transition.ts", [
    {
      breaks: "outbox: a release ends a delay",
      symbol: "toReady",
      replace: "`due_at = CASE WHEN state = 'held' THEN ${dueWhenReady(dialect)} ELSE NULL END`",
      by: "`due_at = NULL`",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: rows that become ready in one millisecond change places",
      symbol: "readyAt",
      replace: { text: "MAX(o.ready_at) + 1" },
      by: "MIN(o.ready_at) - 1",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a row loses its place when its lease ends",
      symbol: "toReady",
      replace: { text: "ready_at = CASE WHEN state = 'held'" },
      by: "ready_at = CASE WHEN state <> 'dead'",
      tests: ["test/internal/outbox/store/store.test.ts"]
    },
    {
      breaks: "outbox: a retry keeps its lease and has no delay",
      symbol: "toRetried",
      replace: "`state = 'ready', lease = NULL, due_at = ${now} + :delay, error = :error, failed_at = ${now}`",
      by: "`state = 'ready', due_at = ${now}, error = :error, failed_at = ${now}`",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "outbox: a row that is unclaimed counts as attempted",
      symbol: "toUnclaimed",
      replace: { text: ", attempt = attempt - 1" },
      by: "",
      tests: ["test/internal/outbox/store/store.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/schema.ts", [
    {
      breaks: "outbox: a newer schema is accepted",
      symbol: "checkSchema",
      replace: "found === schemaVersion",
      by: "found >= schemaVersion",
      tests: ["test/internal/outbox/store/schema.test.ts"]
    },
    {
      breaks: "outbox: two processes create the tables at the same time",
      symbol: "migrate",
      replace: { text: "pg_advisory_xact_lock(hashtext($1))" },
      by: "hashtext($1)",
      tests: ["test/internal/outbox/store/schema.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/relay.ts", [
    {
      breaks: "relay: it claims only for the handlers that were there when it began",
      symbol: "relay",
      replace: "Effect.suspend(() => store.claim({ tasks: handlers.names, limit: batchSize, leaseMillis }))",
      by: "store.claim({ tasks: handlers.names, limit: batchSize, leaseMillis })",
      tests: ["test/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: it begins rows that another relay has claimed meanwhile",
      symbol: "ClaimedBatch.runRow",
      replace: "this.isStopping || !this.leased.has(row)",
      by: "this.isStopping",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: an interruption stops running handlers",
      symbol: "relay",
      replace: "Effect.forkDaemon(batch.run)",
      by: "Effect.fork(batch.run)",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: it begins claimed rows after an interruption",
      symbol: "relay",
      replace: "batch.isStopping = true",
      by: "",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: an interruption waits for running handlers for ever",
      symbol: "relay",
      replace: "Fiber.interrupt(fiber)",
      by: "Effect.void",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: a lease ends while its handler runs",
      symbol: "ClaimedBatch.run",
      replace: "this.leaseMillis / 3",
      by: "this.leaseMillis * 3_000",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: a row that kills its process is attempted for ever",
      symbol: "ClaimedBatch.runRow",
      replace: "row.attempt > maxAttempts",
      by: "false",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: a row that fails is attempted for ever",
      symbol: "ClaimedBatch.runRow",
      replace: "row.attempt >= maxAttempts ? this.deadLetter(row, error) : this.retry(row, error)",
      by: "this.retry(row, error)",
      tests: ["test/internal/outbox/relay.test.ts"]
    },
    {
      breaks: "relay: each retry waits as long as the first",
      symbol: "backoff",
      replace: "2 ** (attempt - 1)",
      by: "2 ** (attempt * 0)",
      tests: ["test/internal/outbox/relay.test.ts"]
    }
  ])
]
