import type { Mutant } from "./mutants.js"

/** Those of the outbox's table, and of the relay. */
export const outbox: ReadonlyArray<Mutant> = [
  {
    breaks: "outbox: now() for the clock",
    file: "src/internal/outbox/dialect.ts",
    from: "now: \"CAST(date_part('epoch', statement_timestamp()) * 1000 AS BIGINT)\"",
    to: "now: \"CAST(date_part('epoch', now()) * 1000 AS BIGINT)\""
  },
  {
    breaks: "outbox: now() for the moment at which a row is ready",
    file: "src/internal/outbox/dialect.ts",
    from: "nowMicros: \"CAST(date_part('epoch', statement_timestamp()) * 1000000 AS BIGINT)\"",
    to: "nowMicros: \"CAST(date_part('epoch', now()) * 1000000 AS BIGINT)\""
  },
  {
    breaks: "outbox: the clock of the session's time zone",
    file: "src/internal/outbox/dialect.ts",
    from: "now: \"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000\"",
    to: "now: \"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', NOW(6)) DIV 1000\""
  },
  {
    breaks: "outbox: a discard forgets held rows",
    file: "src/internal/outbox/store.ts",
    from: "\"state IN ('held', 'ready')\"",
    to: "\"state = 'ready'\""
  },
  {
    breaks: "outbox: a discard takes what is claimed",
    file: "src/internal/outbox/store.ts",
    from: "\"state IN ('held', 'ready')\"",
    to: "\"state <> 'dead'\""
  },
  {
    breaks: "outbox: a release makes what is claimed ready again",
    file: "src/internal/outbox/store.ts",
    from: "toReady(dialect, table), \"state = 'held'\"",
    to: "toReady(dialect, table), \"state <> 'dead'\""
  },
  {
    breaks: "outbox: a renewal holds what is not held",
    file: "src/internal/outbox/store.ts",
    from: "toRenewed(dialect), \"state = 'held'\"",
    to: "toRenewed(dialect), \"\""
  },
  {
    breaks: "outbox: what was to be discarded comes out at its timeout",
    file: "src/internal/outbox/take.ts",
    from: "`${row}.state = 'held' AND ${row}.on_expiry = 'discard'`",
    to: "`${row}.state = 'dead' AND ${row}.on_expiry = 'discard'`"
  },
  {
    breaks: "outbox: a delay counts from the insert, and is over with the release",
    file: "src/internal/outbox/transition.ts",
    from: "due_at = CASE WHEN state = 'held' THEN ${dueWhenReady(dialect)} ELSE NULL END",
    to: "due_at = NULL"
  },
  {
    breaks: "outbox: a held row deduplicates",
    file: "src/internal/outbox/take.ts",
    from: "o.dedupe_key = r.dedupe_key AND o.state = 'ready' ",
    to:
      "o.dedupe_key = r.dedupe_key AND o.state = 'held' OR o.task = r.task AND o.dedupe_key = r.dedupe_key AND o.state = 'ready' "
  },
  {
    breaks: "outbox: a claimed row deduplicates",
    file: "src/internal/outbox/take.ts",
    from: "o.dedupe_key = r.dedupe_key AND o.state = 'ready' ` +\n  `AND ${before(\"o\", \"r\")})`\n\n/**",
    to:
      "o.dedupe_key = r.dedupe_key AND (o.state = 'claimed' OR o.state = 'ready' ` +\n  `AND ${before(\"o\", \"r\")}))`\n\n/**"
  },
  {
    breaks: "outbox: duplicates stay, and run later (PostgreSQL)",
    file: "src/internal/outbox/take.ts",
    from: "WHERE id IN (SELECT id FROM duplicates)",
    to: "WHERE id IN (SELECT id FROM duplicates WHERE FALSE)"
  },
  {
    breaks: "outbox: duplicates stay, and run later (MySQL, SQLite)",
    file: "src/internal/outbox/take.ts",
    from: "if (deduped.length > 0) {",
    to: "if (deduped.length > 1_000_000) {"
  },
  {
    breaks: "outbox: duplicates that a transaction discards are waited for",
    file: "src/internal/outbox/take.ts",
    tests: ["test/internal/outbox", "test/outbox"],
    from: "FOR UPDATE OF d SKIP LOCKED",
    to: "FOR UPDATE OF d"
  },
  {
    breaks: "outbox: a claim waits for locked rows (PostgreSQL)",
    file: "src/internal/outbox/take.ts",
    from: "WHERE ${turn(dialect, table)} FOR UPDATE SKIP LOCKED",
    to: "WHERE ${turn(dialect, table)} FOR UPDATE"
  },
  {
    breaks: "outbox: a claim waits for locked rows (MySQL)",
    file: "src/internal/outbox/take.ts",
    from: "\" FOR UPDATE SKIP LOCKED\"]",
    to: "\" FOR UPDATE\"]"
  },
  {
    breaks: "outbox: a claim locks the gaps between rows",
    file: "src/internal/outbox/ownTransaction.ts",
    from: "\"SET TRANSACTION ISOLATION LEVEL READ COMMITTED\", ",
    to: ""
  },
  {
    breaks: "outbox: a row overtakes a claimed one with its ordering key",
    file: "src/internal/outbox/take.ts",
    from: "AND o.state = 'claimed' ` +",
    to: "AND o.state = 'nothing' ` +"
  },
  {
    breaks: "outbox: a row overtakes one with its ordering key that is tried again",
    file: "src/internal/outbox/take.ts",
    from: "WHERE o.ordering_key = r.ordering_key AND o.state = 'ready' ",
    to: "WHERE o.ordering_key = r.ordering_key AND o.state = 'ready' AND o.due_at IS NULL "
  },
  {
    breaks: "outbox: rows that become ready in one millisecond change places",
    file: "src/internal/outbox/transition.ts",
    from: "COALESCE(` +\n      `(SELECT MAX(o.ready_at) + 1 ",
    to: "COALESCE(` +\n      `(SELECT MIN(o.ready_at) - 1 "
  },
  {
    breaks: "outbox: a row's turn is lost when its lease ends",
    file: "src/internal/outbox/transition.ts",
    from: "ready_at = CASE WHEN state = 'held' THEN",
    to: "ready_at = CASE WHEN state <> 'dead' THEN"
  },
  {
    breaks: "outbox: a late acknowledgement is not fenced",
    file: "src/internal/outbox/dialect.ts",
    from: "(id, lease) IN (SELECT CAST(given ->> 'id' AS UUID), given ->> 'lease' \" +",
    to: "(id) IN (SELECT CAST(given ->> 'id' AS UUID) \" +"
  },
  {
    breaks: "outbox: a retry keeps its lease",
    file: "src/internal/outbox/transition.ts",
    from: "`state = 'ready', lease = NULL, due_at = ${now} + :delay",
    to: "`state = 'ready', due_at = ${now}"
  },
  {
    breaks: "outbox: what is given back counts as tried",
    file: "src/internal/outbox/transition.ts",
    from: ", attempt = attempt - 1",
    to: ""
  },
  {
    breaks: "outbox: a newer schema is taken",
    file: "src/internal/outbox/schema.ts",
    from: ": found === schemaVersion\n",
    to: ": found >= schemaVersion\n"
  },
  {
    breaks: "outbox: tables are made side by side",
    file: "src/internal/outbox/schema.ts",
    from: "\"SELECT pg_advisory_xact_lock(hashtext($1))\"",
    to: "\"SELECT hashtext($1)\""
  },
  {
    breaks: "relay: an interruption stops handlers that run",
    file: "src/internal/outbox/relay.ts",
    from: "Effect.flatMap(Effect.forkDaemon(batch.run)",
    to: "Effect.flatMap(Effect.fork(batch.run)"
  },
  {
    breaks: "relay: begins what it claimed after an interruption",
    file: "src/internal/outbox/relay.ts",
    from: "          batch.isStopping = true\n",
    to: ""
  },
  {
    breaks: "relay: waits for handlers for ever",
    file: "src/internal/outbox/relay.ts",
    from: "Effect.interruptible(Effect.delay(Fiber.interrupt(fiber), drainTimeout))",
    to: "Effect.interruptible(Effect.delay(Effect.void, drainTimeout))"
  },
  {
    breaks: "relay: a lease ends while its handler runs",
    file: "src/internal/outbox/relay.ts",
    from: "      Effect.delay(this.leaseMillis / 3),\n",
    to: "      Effect.delay(this.leaseMillis * 3_000),\n"
  },
  {
    breaks: "relay: a row that kills its process is tried for ever",
    file: "src/internal/outbox/relay.ts",
    from: "if (row.attempt > maxAttempts) {",
    to: "if (row.attempt > 1_000_000) {"
  },
  {
    breaks: "relay: waits as long each time",
    file: "src/internal/outbox/relay.ts",
    from: "1000 * 2 ** (attempt - 1)",
    to: "1000"
  },
  {
    breaks: "relay: a failed row is tried for ever",
    file: "src/internal/outbox/relay.ts",
    from: "row.attempt >= maxAttempts ?",
    to: "row.attempt >= 1_000_000 ?"
  }
]
