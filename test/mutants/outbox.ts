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
      replace: "outbox.release(intents, options)",
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
      breaks: "outbox: relays are not notified of rows that a transaction inserted as ready",
      symbol: "makeExecutor.transactional",
      replace: "notify()",
      by: "",
      tests: ["test/outbox/relay.test.ts"]
    },
    {
      breaks: "outbox: relays are notified before the rows of a transaction are committed",
      symbol: "makeExecutor",
      replace: `const insertReady = (intents: ReadonlyArray<Intent>) => insertRows(intents, { state: "ready" })`,
      by: `const insertReady = (intents: ReadonlyArray<Intent>) =>
        Effect.zipLeft(insertRows(intents, { state: "ready" }), Effect.sync(notify))`,
      tests: ["test/internal/outbox/notifier.test.ts"]
    },
    {
      breaks: "outbox: a later transaction overtakes rows with the same key that wait for their release",
      symbol: "makeExecutor.transactional",
      replace: "awaited || held.some(isOrdered)",
      by: "awaited",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: intents of one scope leave before rows that wait for their release",
      symbol: "makeExecutor.transactional",
      replace: "awaited || held.some(isOrdered)",
      by: "held.some(isOrdered)",
      tests: ["test/internal/outbox/notifier.test.ts"]
    },
    {
      breaks: "outbox: relays are not notified of rows that a flush inserts",
      symbol: "makeExecutor.dispatch",
      replace: "notify()",
      by: "",
      tests: ["test/outbox/relay.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/intentRow.ts", [
    {
      breaks: "outbox: a row of a newer version is read by an older handler",
      symbol: "intentOf",
      replace: "row.version > version",
      by: "false",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: an upcast of the row's own version is left out",
      symbol: "upcasted",
      replace: "let at = from",
      by: "let at = from + 1",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: the upcast to the task's own version is left out",
      symbol: "upcasted",
      replace: "at < version",
      by: "at < version - 1",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: upcasts run from the newest version to the oldest",
      symbol: "upcasted",
      replace: "upcast[at]",
      by: "upcast[version + from - 1 - at]",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: each upcast gets the payload that was stored, and not the one of its version",
      symbol: "upcasted",
      replace: "next(current)",
      by: "next(value)",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: an error of a stored payload shows a value of it",
      symbol: "decodeText",
      replace: "ParseResult.isParseError(cause)",
      by: "ParseResult.isParseError(cause) && cause.message === \"\"",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: a codec decodes rows that were written before it was there",
      symbol: "intentOf",
      replace: "options.codec !== true",
      by: "codec === undefined",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/codec.ts", [
    {
      breaks: "outbox: an encoded row is a damaged one for a relay without the codec",
      symbol: "runCodec",
      replace:
        "failed(new Error(\"its row was written with a codec, and this relay has none. Give Outbox.relay the codec.\"))",
      by: "payload",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    },
    {
      breaks: "outbox: a codec that dies is no error of the codec",
      symbol: "runCodec",
      replace: "Cause.isInterruptedOnly(cause)",
      by: "!Cause.isFailure(cause)",
      tests: ["test/internal/outbox/intentRow.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/retry.ts", [
    {
      breaks: "outbox: each attempt begins the schedule of its task anew",
      symbol: "replay",
      replace: "walk(schedule, attempt - 1, error, now - before.value.millis)",
      by: "walk(schedule, 0, error, now - before.value.millis)",
      tests: ["test/internal/outbox/retry.test.ts"]
    },
    {
      breaks: "outbox: a schedule does not see the time that its delays took",
      symbol: "replay",
      replace: "now - before.value.millis",
      by: "now",
      tests: ["test/internal/outbox/retry.test.ts"]
    },
    {
      breaks: "outbox: a schedule that dies ends the retries",
      symbol: "delayAfter",
      replace:
        `Effect.zipRight(Effect.logWarning("The retry schedule of a task died or did not end. Its intent is retried with the default delay.", timeout ?? exit?.cause), Effect.asSome(backoff(attempt)))`,
      by: "Effect.succeedNone",
      tests: ["test/internal/outbox/retry.test.ts"]
    },
    {
      breaks: "outbox: a schedule that does not end holds all results up",
      symbol: "scheduleLimit",
      replace: "Duration.seconds(1)",
      by: "Duration.infinity",
      tests: ["test/internal/outbox/retry.test.ts"]
    },
    {
      breaks: "outbox: the default delay has no end",
      symbol: "backoff",
      replace: "Math.min(firstDelay * 2 ** (attempt - 1), longest)",
      by: "(firstDelay * 2 ** (attempt - 1))",
      tests: ["test/internal/outbox/retry.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/signal.ts", [
    {
      breaks: "outbox: a signal in the outcome of another handler counts",
      symbol: "signalIn",
      replace: "isDispatchError(error)",
      by: "false",
      tests: ["test/internal/outbox/signal.test.ts"]
    },
    {
      breaks: "outbox: a signal is lost beside another error of its handler",
      symbol: "signalOf",
      replace: "[error.cause].concat(error.also ?? [])",
      by: "error.cause",
      tests: ["test/internal/outbox/signal.test.ts"]
    },
    {
      breaks: "outbox: a signal is lost that is the cause of another error",
      symbol: "signalIn",
      replace: "\"cause\" in error",
      by: "depth < 0 && \"cause\" in error",
      tests: ["test/internal/outbox/signal.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/executor.ts", [
    {
      breaks: "outbox: a heldTimeout of zero lets all held rows expire at once",
      symbol: "heldTimeoutOf",
      replace: "millis > 0",
      by: "millis >= 0",
      tests: ["test/outbox/wiring.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/holdings.ts", [
    {
      breaks: "outbox: held rows are not renewed",
      symbol: "Holdings.maintain",
      replace: "[...this.rows.keys()]",
      by: "[...this.idsOf(\"discard\"), ...this.idsOf(\"release\")]",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: rows that are still to be released or discarded are not renewed",
      symbol: "Holdings.maintain",
      replace: "[...this.rows.keys()]",
      by: "[...this.rows].flatMap(([id, row]) => row.operation === undefined ? [id] : [])",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a row stays in the holdings after its release",
      symbol: "Holdings.releaseGroup",
      replace: "this.forget(ids)",
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a row stays in the holdings after its discard",
      symbol: "Holdings.discardNow",
      replace: "this.forget(ids)",
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a release that fails is forgotten",
      symbol: "Holdings.release",
      replace: "this.rows.get(id)!.operation = \"release\"",
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a discard that fails is forgotten",
      symbol: "Holdings.discard",
      replace: "this.rows.set(id, { ...row, operation: \"discard\" })",
      by: "this.rows.delete(id)",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a discard that failed is not tried again",
      symbol: "Holdings.maintain",
      replace: "this.discardNow(this.idsOf(\"discard\"), reportUnknown)",
      by: "Effect.void",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a release that failed is not tried again",
      symbol: "Holdings.maintain",
      replace: "this.releases.add(ids, { isAwaited: true })",
      by: "Effect.void",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: what is still to be released or discarded is not tried again at the end",
      symbol: "Holdings.close",
      replace: "this.idsOf(\"discard\").length + this.idsOf(\"release\").length === 0",
      by: "true",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: the Layer closes before the releases that are on their way",
      symbol: "Holdings.close",
      replace: "this.releases.drained",
      by: "Effect.void",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: relays are not notified of released rows",
      symbol: "Holdings.releaseGroup",
      replace: "this.options.notify()",
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a discard that came too late is not logged",
      symbol: "Holdings.discard",
      replace: "reportLate",
      by: "() => Effect.void",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a discard that may have been done before is called too late",
      symbol: "Holdings.maintain",
      replace: "reportUnknown",
      by: "reportLate",
      tests: ["test/internal/outbox/holdings.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/group.ts", [
    {
      breaks: "outbox: each release is a statement of its own",
      symbol: "Group.workOff",
      replace: "const { items, next } = this",
      by: "const { next } = this; const items = this.items.splice(0, 1)",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: there is no pause between releases",
      symbol: "Group.run",
      replace: "Effect.timeoutOption(this.awaited.wait, this.pause)",
      by: "Effect.void",
      tests: ["test/internal/outbox/holdings.test.ts"]
    },
    {
      breaks: "outbox: a scope that waits for its release waits for the pause",
      symbol: "Group.add",
      replace: "this.awaited.wake()",
      by: "",
      tests: ["test/internal/outbox/holdings.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/ownConnection.ts", [
    {
      breaks: "outbox: the outbox's own connection has the isolation of the database",
      symbol: "settings",
      replace: { text: "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; " },
      by: "",
      tests: ["test/outbox/serializable.test.ts"]
    },
    {
      breaks: "outbox: each Layer has a connection of its own",
      symbol: "reservedFor",
      replace: "ofClient.get(use) ?? new Reserved(client)",
      by: "new Reserved(client)",
      tests: ["test/internal/outbox/store/connection.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/driverConnection.ts", [
    {
      breaks: "outbox: the size of a client's pool is not known",
      symbol: "member",
      replace: `typeof value === "object" || typeof value === "function"`,
      by: `typeof value === "object"`,
      tests: ["test/internal/outbox/notifier.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/notifier.ts", [
    {
      breaks: "outbox: a relay looks again for rows of which its own process has told it",
      symbol: "listen",
      replace: "sender !== thisProcess",
      by: "sender !== \"\"",
      tests: ["test/internal/outbox/notifier.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/listening.ts", [
    {
      breaks: "outbox: a notification is lost while the listening connection is found again",
      symbol: "listenOnce",
      replace: "onNotification(undefined)",
      by: "undefined",
      tests: ["test/internal/outbox/notifier.test.ts"]
    },
    {
      breaks: "outbox: a relay does not notice that its listening connection is half-open",
      symbol: "listenOnce",
      replace: `Effect.forever(Effect.delay(execute("SELECT 1"), pingInterval))`,
      by: "Effect.never",
      tests: ["test/internal/outbox/notifier.test.ts"]
    },
    {
      breaks: "outbox: a connection that listens goes back to the pool",
      symbol: "listenOnce",
      replace: "dropReservation(reservation)",
      by: "EffectScope.close(reservation.scope, Exit.void)",
      tests: ["test/internal/outbox/notifier.test.ts"]
    },
    {
      breaks: "outbox: a relay takes a connection to listen from a pool that has none to spare",
      symbol: "listenTo",
      replace: "poolSizeOf(client) < leastPool",
      by: "false",
      tests: ["test/internal/outbox/notifier.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/sending.ts", [
    {
      breaks: "outbox: each write sends a notification",
      symbol: "Sending.run",
      replace: "Effect.sleep(pause)",
      by: "Effect.void",
      tests: ["test/internal/outbox/notifier.test.ts"]
    },
    {
      breaks: "outbox: a notification has no time limit",
      symbol: "sendTo.statement",
      replace: `limitedOn(connection, connection.executeUnprepared(notification, [channel, sender], undefined))`,
      by: `connection.executeUnprepared(notification, [channel, sender], undefined)`,
      tests: ["test/internal/outbox/store/connection.test.ts"]
    },
    {
      breaks: "outbox: the last notification is lost when its process ends",
      symbol: "sendTo",
      replace: "sending.sendPending",
      by: "Effect.void",
      tests: ["test/internal/outbox/notifier.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/channel.ts", [
    {
      breaks: "outbox: a table with a long name has no channel",
      symbol: "channelName",
      replace: "new TextEncoder().encode(name).length <= maxBytes",
      by: "true",
      tests: ["test/internal/outbox/notifier.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/timeLimit.ts", [
    {
      breaks: "outbox: a statement in a transaction has no time limit",
      symbol: "Watch.watch",
      replace: "action.onLimit()",
      by: "",
      tests: ["test/internal/support/timeLimit.test.ts"]
    },
    {
      breaks: "outbox: an action that has ended is limited nevertheless",
      symbol: "Watch.add",
      replace: "this.running.delete(action)",
      by: "",
      tests: ["test/internal/support/timeLimit.test.ts"]
    },
    {
      breaks: "outbox: the timer of a time limit keeps the process alive",
      symbol: "Watch.add",
      replace: "this.end()",
      by: "",
      tests: ["test/internal/support/timeLimit.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/connection.ts", [
    {
      breaks: "outbox: a statement on a half-open connection never ends",
      symbol: "limited",
      replace: "exit ?? Effect.zipRight(abandon, Effect.fail(exceeded(attempt)))",
      by: "exit ?? Effect.never",
      tests: ["test/internal/outbox/store/connection.test.ts"]
    },
    {
      breaks: "outbox: a connection that does not answer goes back to the pool",
      symbol: "Attempt.abandon",
      replace: "dropConnection(this.connection)",
      by: "{}",
      tests: ["test/internal/outbox/store/connection.test.ts"]
    },
    {
      breaks: "outbox: a single statement has the isolation of the database",
      symbol: "readCommitted",
      replace: `rows[0]?.[0] === "read committed"`,
      by: "true",
      tests: ["test/internal/outbox/store/connection.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/insert.ts", [
    {
      breaks: "outbox: an insert of very many rows is one statement",
      symbol: "partsOf",
      replace: "end > start && (end - start === maxRowsPerStatement || characters + size > maxCharactersPerStatement)",
      by: "end > start && end - start === 20_000",
      tests: ["test/internal/outbox/store/connection.test.ts"]
    },
    {
      breaks: "outbox: an insert in several statements is not atomic",
      symbol: "makeInsert",
      replace: "inTransaction(Effect.forEach([first!, ...others], (part) => insert(part, options), { discard: true }))",
      by: "Effect.forEach([first!, ...others], (part) => insert(part, options), { discard: true })",
      tests: ["test/internal/outbox/store/connection.test.ts"]
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
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: rows that one transaction makes ready share one time",
      symbol: "postgres.nowMicros",
      replace: { text: "statement_timestamp()" },
      by: "now()",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: the clock is in the time zone of the session",
      symbol: "mysql.now",
      replace: { text: "UTC_TIMESTAMP(6)" },
      by: "NOW(6)",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/store.ts", [
    {
      breaks: "outbox: a discard leaves held rows",
      symbol: "makeStore.discard",
      replace: { text: "r.state = 'held' OR" },
      by: "",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: a discard deletes claimed rows",
      symbol: "makeStore.discard",
      replace: { text: "r.state IN ('scheduled', 'ready') AND" },
      by: "r.state <> 'dead' AND",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: a release makes claimed rows ready again",
      symbol: "makeStore.release",
      replace: { text: "state = 'held'" },
      by: "state <> 'dead'",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: a renewal changes rows that are not held",
      symbol: "makeStore.renew",
      replace: { text: "state = 'held'" },
      by: "state <> 'dead'",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/find.ts", [
    {
      breaks: "outbox: a claim waits for locked rows (PostgreSQL)",
      symbol: "inOneStatement.lock",
      replace: { text: "FOR UPDATE SKIP LOCKED" },
      by: "FOR UPDATE",
      tests: ["test/internal/outbox/store/concurrency.test.ts"],
      hangs: true
    },
    {
      breaks: "outbox: a reaped session claims rows (PostgreSQL)",
      symbol: "inOneStatement.session",
      replace: { text: "WHERE id = CAST(:lease AS UUID)" },
      by: "WHERE id <> CAST(:lease AS UUID)",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a reaper does not wait for a claim of the session (PostgreSQL)",
      symbol: "inOneStatement.session",
      replace: { text: "FOR KEY SHARE" },
      by: "",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a reaped session claims rows (MySQL, SQLite)",
      symbol: "inOneTransaction",
      replace: "(yield* findSession({ lease })).length === 0",
      by: "false",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: an attempt is counted at the claim (PostgreSQL)",
      symbol: "inOneStatement.claimFound",
      replace: { text: "SET state = 'claimed'," },
      by: "SET state = 'claimed', attempt = r.attempt + 1,",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: an attempt is counted at the claim (MySQL, SQLite)",
      symbol: "inOneTransaction.claim",
      replace: { text: "state = 'claimed'" },
      by: "state = 'claimed', attempt = attempt + 1",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a claim takes any number of bytes (PostgreSQL)",
      symbol: "inOneStatement.claimFound",
      replace: { text: "WHERE total <= CAST(:bytes AS BIGINT) OR total = bytes" },
      by: "WHERE CAST(:bytes AS BIGINT) > 0",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: a claim takes any number of bytes (MySQL, SQLite)",
      symbol: "inOneTransaction",
      replace: "i === 0 || total <= maxBytes",
      by: "i === 0 || total <= maxBytes * 1_000",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/keyed.ts", [
    {
      breaks: "outbox: an attempt is counted at the claim of a row with a key",
      symbol: "makeKeyed.setClaimed",
      replace: { text: "state = 'claimed'" },
      by: "state = 'claimed', attempt = attempt + 1",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: relays that name a table with its schema and without decide about its keys at the same time",
      symbol: "makeKeyed",
      replace: { text: "CAST(CAST(CAST(CAST(:table AS TEXT) AS REGCLASS) AS OID) AS BIGINT)" },
      by: "HASHTEXT(:table)",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a claim of rows with a key decides without the mutex",
      symbol: "makeKeyed.withMutex",
      replace: "Effect.zipRight(lock({ table: outbox }), self)",
      by: "self",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a row overtakes a claimed row with its ordering key",
      symbol: "conditions.claimed",
      replace: { text: "o.state = 'claimed'" },
      by: "o.state = 'done'",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: a claim reads all rows that wait behind the first row of a key",
      symbol: "conditions.isAnyBefore",
      replace: { text: "ORDER BY o.ready_at, o.id LIMIT 1" },
      by: "AND (o.ready_at, o.id) < (r.ready_at, r.id) LIMIT 1",
      tests: ["test/internal/outbox/store/plans.test.ts"]
    },
    {
      breaks: "outbox: a row overtakes a row with its key that waits for its next attempt",
      symbol: "waiting",
      replace: `"scheduled"`,
      by: "",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: the rows behind a removed row stay blocked",
      symbol: "makeKeyed.unblock",
      replace: "keys.length > 0",
      by: "false",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: all rows of a key are blocked",
      symbol: "makeKeyed.decide",
      replace: `place === "last"`,
      by: "false",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: duplicates stay and run later",
      symbol: "makeKeyed.claimHeads",
      replace: "duplicates.length > 0",
      by: "false",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: the deletion of a duplicate leaves the next row of its ordering key blocked",
      symbol: "makeKeyed.claimHeads",
      replace: "yield* unblock(duplicates)",
      by: "",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: a reaped session claims rows with a key",
      symbol: "makeKeyed.claim",
      replace: "(yield* findSession({ lease: claim.lease })).length === 0",
      by: "false",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/claim.ts", [
    {
      breaks: "outbox: a deadlock ends a claim that has claimed rows without a key",
      symbol: "makeClaim.round",
      replace: "retryOutsideTransaction(keyed.claim(options, found.keyed))",
      by: "keyed.claim(options, found.keyed)",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: rows wait for a poll each time a claim finds only rows that are blocked",
      symbol: "makeClaim.round",
      replace: "rounds === 0",
      by: "rounds > 0",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    },
    {
      breaks: "outbox: a claim forgets what it has claimed when its second transaction is retried",
      symbol: "makeClaim.round",
      replace: "retryOutsideTransaction(keyed.claim(options, found.keyed))",
      by: "keyed.claim(options, found.keyed)",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/session.ts", [
    {
      breaks: "outbox: rows that had not begun when their process died have used an attempt",
      symbol: "makeSessions.reapOne",
      replace: "findBegun({ lease, number: upTo })",
      by: "findBegun({ lease, number: 1_000_000 })",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a row that its session has claimed again has begun at once",
      symbol: "makeSessions.findRunning",
      replace: { text: " AND r.claim_number <= :last" },
      by: "",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a handler that ran when its process died has used no attempt",
      symbol: "makeSessions.reapOne",
      replace: `Number(row["attempt"]) + 1`,
      by: `Number(row["attempt"])`,
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a reaper changes a result that it has waited for",
      symbol: "makeSessions.burn",
      replace: `"r.state = 'claimed' AND r.lease = :lease"`,
      by: `"r.state IS NOT NULL OR r.lease = :lease"`,
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    },
    {
      breaks: "outbox: a reaped row loses its lease before another relay has claimed it",
      symbol: "makeSessions.free",
      replace: { text: "SET state = 'ready' WHERE" },
      by: "SET state = 'ready', lease = NULL WHERE",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: the rows of a relay that closes stay claimed",
      symbol: "makeSessions.unregister",
      replace: "Effect.asVoid(unclaim({ lease }))",
      by: "Effect.void",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/settle.ts", [
    {
      breaks: "outbox: a late acknowledgement does not look at the lease",
      symbol: "hasLease",
      replace: `"r.lease = :lease"`,
      by: `"CAST(:lease AS CHAR(36)) IS NOT NULL"`,
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a dead letter leaves the next row of its key blocked",
      symbol: "makeSettlements.fail",
      replace: { text: "(given.delay IS NOT NULL OR (" },
      by: "(given.given_id IS NOT NULL OR (",
      tests: ["test/internal/outbox/store/keyed.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/expire.ts", [
    {
      breaks: "outbox: a held row that is to be discarded is released when it expires",
      symbol: "makeExpiries.expire",
      replace: `row["on_expiry"] !== "discard"`,
      by: "true",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/transition.ts", [
    {
      breaks: "outbox: a release ends a delay",
      symbol: "toReleased",
      replace: "`state = ${stateWhenReleased(dialect)}`",
      by: "`state = 'ready'`",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    },
    {
      breaks: "outbox: rows that become ready in one millisecond change places",
      symbol: "readyAt.latest",
      replace: { text: "MAX(o.ready_at) + 1" },
      by: "MIN(o.ready_at) - 1",
      tests: ["test/internal/outbox/store/rows.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/schema.ts", [
    {
      breaks: "outbox: a relay claims nothing more after 2^31 claims",
      symbol: "postgres",
      replace: { text: "claim_number BIGINT" },
      by: "claim_number INTEGER",
      tests: ["test/internal/outbox/store/sessions.test.ts"]
    },
    {
      breaks: "outbox: a relay of version 1 claims rows of version 2 (PostgreSQL, SQLite)",
      symbol: "waitsForItsTime",
      replace: { text: "state IN ('held', 'scheduled')" },
      by: "state <> ''",
      tests: ["test/internal/outbox/store/migration.test.ts"]
    },
    {
      breaks: "outbox: a newer schema is accepted",
      symbol: "checkSchema",
      replace: "found === schemaVersion",
      by: "found >= schemaVersion",
      tests: ["test/internal/outbox/store/schema.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/tables.ts", [
    {
      breaks: "outbox: a table name that is too long is cut",
      symbol: "quotedTables",
      replace: "length + longestSuffix.length > limit.max",
      by: "length > limit.max",
      tests: ["test/internal/outbox/store/schema.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/migration.ts", [
    {
      breaks: "outbox: two processes create the tables at the same time",
      symbol: "alone",
      replace: { text: "pg_advisory_xact_lock(hashtext($1))" },
      by: "hashtext($1)",
      tests: ["test/internal/outbox/store/schema.test.ts"]
    },
    {
      breaks: "outbox: a migration forgets the delays of rows",
      symbol: "state",
      replace: { text: "'scheduled'" },
      by: "'ready'",
      tests: ["test/internal/outbox/store/migration.test.ts"]
    },
    {
      breaks: "outbox: a migration leaves the claims of relays that cannot acknowledge them",
      symbol: "state",
      replace: { text: "WHEN state = 'claimed' THEN 'ready'" },
      by: "WHEN state = 'claimed' THEN 'claimed'",
      tests: ["test/internal/outbox/store/migration.test.ts"]
    },
    {
      breaks: "outbox: a migration whose process died cannot run again (MySQL)",
      symbol: "upgradeMysql",
      replace: "(yield* client.unsafe(isOld)).length === 0",
      by: "(yield* client.unsafe(isOld)).length >= 0",
      tests: ["test/internal/outbox/store/migration.test.ts"]
    },
    {
      breaks: "outbox: the version of the tables changes before the tables (MySQL)",
      symbol: "migrate",
      replace: "upgradeMysql(client, table)",
      by: "Effect.zipRight(run([`UPDATE ${version} SET version = ${schemaVersion}`]), upgradeMysql(client, table))",
      tests: ["test/internal/outbox/store/migration.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/store/ownTransaction.ts", [
    {
      breaks: "outbox: a transaction of the outbox has the isolation of the database",
      symbol: "begin.pg",
      replace: `"BEGIN ISOLATION LEVEL READ COMMITTED"`,
      by: `"BEGIN"`,
      tests: ["test/internal/outbox/store/connection.test.ts"]
    },
    {
      breaks: "outbox: a claim locks the gaps between rows",
      symbol: "begin.mysql",
      replace: `"SET TRANSACTION ISOLATION LEVEL READ COMMITTED"`,
      by: "",
      tests: ["test/internal/outbox/store/concurrency.test.ts"]
    }
  ])
]
