/** Idempotency keys: who runs, what is stored, and what is freed. */
import { inFile, type Mutant } from "./mutant.js"

const modes = "test/idempotency/modes.test.ts"
const keys = "test/idempotency/keys.test.ts"
const fingerprints = "test/idempotency/fingerprints.test.ts"
const storedResponses = "test/idempotency/storedResponses.test.ts"
const inFlight = "test/idempotency/inFlight.test.ts"
const storeFailures = "test/idempotency/storeFailures.test.ts"
const options = "test/idempotency/options.test.ts"
const upkeep = "test/idempotency/upkeep.test.ts"
const requestBodies = "test/idempotency/requestBodies.test.ts"
const responseBodies = "test/idempotency/responseBodies.test.ts"
const positions = "test/idempotency/positions.test.ts"
const transactions = "test/idempotency/transactions.test.ts"
const stores = "test/idempotency/stores.test.ts"

export const idempotency: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/idempotency/middleware.ts", [
    {
      breaks: "keys: two middlewares around a request both claim its key",
      symbol: "idempotent",
      replace: "currentIn(own)?.source === request.source",
      by: "false",
      tests: [modes]
    },
    {
      breaks: "keys: a safe method needs a key",
      symbol: "idempotent",
      replace: "safeMethods.has(request.method)",
      by: "false",
      tests: [modes]
    },
    {
      breaks: "keys: a header that was sent twice is taken for one",
      symbol: "idempotent",
      replace: "isRepeated(request.source, settings.header, header)",
      by: "false",
      tests: [keys]
    },
    {
      breaks: "keys: a request lets a store that fails through, unasked",
      symbol: "claimed",
      replace: "settings.isOpen",
      by: "true",
      tests: [storeFailures]
    },
    {
      breaks: "keys: wrong wiring is answered like a store that does not answer",
      symbol: "claimed",
      replace: "Option.isNone(Cause.failureOption(cause))",
      by: "false",
      tests: [transactions]
    },
    {
      breaks: "keys: effects of outer middleware are not seen",
      symbol: "owning",
      replace: "requestSourceOf(scope) === request.source ? owner : undefined",
      by: "undefined",
      tests: [transactions]
    },
    {
      breaks: "keys: a duplicate of a request that runs is refused on a manual route",
      symbol: "claimed",
      replace: "again(undefined)",
      by: "refuse(settings, \"in-flight\", { detail: \"\" })",
      tests: [modes]
    },
    {
      breaks: "keys: a duplicate waits for ever",
      symbol: "waitFor",
      replace: "left <= 0",
      by: "false",
      tests: [inFlight],
      hangs: true
    }
  ]),
  ...inFile("src/internal/idempotency/protectedRequest.ts", [
    {
      breaks: "keys: a request that has committed frees its key",
      symbol: "ProtectedRequest.end",
      replace: "!isWanted && !this.isOut",
      by: "!isWanted",
      tests: [transactions]
    },
    {
      breaks: "keys: the response to a client that has gone is stored as an answer",
      symbol: "ProtectedRequest.end",
      replace: "!(interrupted && response.status >= 400)",
      by: "true",
      tests: [transactions]
    },
    {
      breaks: "keys: a store that fails before a COMMIT refuses it, although it may be open",
      symbol: "ProtectedRequest.beforeCommit",
      replace: "settings.isOpen",
      by: "settings.maxRequestBytes < 0",
      tests: [transactions]
    },
    {
      breaks: "keys: a response is taken for stored before its transaction has committed",
      symbol: "ProtectedRequest.beforeCommit",
      replace: "this.written = { answer: isAnswered ? answer : undefined }",
      by: "this.inTransaction = isAnswered ? answer : undefined",
      tests: [transactions]
    },
    {
      breaks: "keys: a transaction writes into a record that was kept meanwhile",
      symbol: "ProtectedRequest.beforeCommit",
      replace: "this.isKeptBeside",
      by: "this.hasEnded && this.isKeptBeside",
      tests: [transactions]
    },
    {
      breaks: "keys: what leaves inside a transaction is forgotten with it",
      symbol: "ProtectedRequest.beforeDispatch",
      replace: "isOpen && !keepsInTransaction",
      by: "isOpen && keepsInTransaction",
      tests: [transactions]
    },
    {
      breaks: "keys: a key that a statement has not kept is taken for kept",
      symbol: "ProtectedRequest.beforeDispatch",
      replace: "this.isKept || this.isSettled",
      by: "this.isKept || this.isOut || this.isSettled",
      tests: [transactions]
    },
    {
      breaks: "keys: a key is not kept before the effects of a collected body leave",
      symbol: "ProtectedRequest.beforeDispatch",
      replace: "this.isKept || this.isSettled",
      by: "this.isKept || this.hasEnded",
      tests: [transactions]
    },
    {
      breaks: "keys: a transaction commits although another request has the key",
      symbol: "ProtectedRequest.beforeCommit",
      replace: "!isOwn",
      by: "false",
      tests: [transactions]
    },
    {
      breaks: "keys: a response that the transaction has stored is stored again",
      symbol: "ProtectedRequest.end",
      replace: "this.inTransaction === response",
      by: "false",
      tests: [transactions]
    },
    {
      breaks: "keys: the response is not stored in the transaction of the request",
      symbol: "ProtectedRequest.answerWith",
      replace: "this.answer = response",
      by: "",
      tests: [transactions]
    },
    {
      breaks: "keys: a body over the limit is stored",
      symbol: "ProtectedRequest.end",
      replace: "bytes !== undefined && bytes.length <= this.settings.maxResponseBytes",
      by: "bytes !== undefined",
      tests: [responseBodies]
    },
    {
      breaks: "keys: a body that failed is replayed",
      symbol: "ProtectedRequest.end",
      replace: "!hasFailed",
      by: "true",
      tests: [responseBodies]
    }
  ]),
  ...inFile("src/internal/idempotency/key.ts", [
    {
      breaks: "keys: a key may be of any length",
      symbol: "parseKey",
      replace: "key.length > maxKeyLength",
      by: "false",
      tests: [keys]
    }
  ]),
  ...inFile("src/internal/idempotency/fingerprint.ts", [
    {
      breaks: "keys: two callers share a key",
      symbol: "recordId",
      replace: "[request.method, pathOf(request), caller, key]",
      by: "[request.method, pathOf(request), key]",
      tests: [keys]
    },
    {
      breaks: "keys: parts of an id are joined without delimiters",
      symbol: "recordId",
      replace: "JSON.stringify([request.method, pathOf(request), caller, key])",
      by: "[request.method, pathOf(request), caller, key].join('')",
      tests: [keys]
    },
    {
      breaks: "keys: two methods share a key",
      symbol: "recordId",
      replace: "request.method",
      by: "''",
      tests: [keys]
    },
    {
      breaks: "keys: the query is no part of the fingerprint",
      symbol: "fingerprintOf",
      replace: "[\"bytes\", query]",
      by: "[\"bytes\"]",
      tests: [fingerprints]
    },
    {
      breaks: "keys: a router that cuts its prefix off lets paths share keys",
      symbol: "pathOf",
      replace: "splitUrl(originalUrl)[0]",
      by: "splitUrl(originalUrl)[0].slice(-7)",
      tests: [positions]
    }
  ]),
  ...inFile("src/internal/idempotency/canonicalJson.ts", [
    {
      breaks: "keys: the order of names makes another JSON value",
      symbol: "write",
      replace: "a < b ? -1 : 1",
      by: "0",
      tests: [fingerprints]
    },
    {
      breaks: "keys: numbers that JavaScript cannot keep apart are one JSON value",
      symbol: "canonicalJson",
      replace: "numberText(found)",
      by: "Number(found)",
      tests: [fingerprints]
    }
  ]),
  ...inFile("src/internal/idempotency/options.ts", [
    {
      breaks: "keys: a 409 of the handler is stored",
      symbol: "storesByDefault",
      replace: "!passing.has(status)",
      by: "true",
      tests: [storedResponses]
    }
  ]),
  ...inFile("src/internal/idempotency/routes.ts", [
    {
      breaks: "keys: options of a path in another case do not contradict each other",
      symbol: "routeOf",
      replace: "path.toLowerCase()",
      by: "path",
      tests: [options]
    },
    {
      breaks: "keys: the options of a route do not hold where its parameter is long",
      symbol: "findSettings",
      replace: "{ maxParamLength: Number.MAX_SAFE_INTEGER }",
      by: "{}",
      tests: [modes]
    },
    {
      breaks: "keys: contradicting options are taken",
      symbol: "contradiction",
      replace: "!Equal.equals(one[name], other[name])",
      by: "false",
      tests: [options]
    }
  ]),
  ...inFile("src/internal/idempotency/replay.ts", [
    {
      breaks: "keys: a replay has cookies and the date of another message",
      symbol: "storedHeaders",
      replace: "!notStored.has(name)",
      by: "true",
      tests: [storedResponses]
    }
  ]),
  ...inFile("src/internal/idempotency/requestBody.ts", [
    {
      breaks: "keys: a body without a length is lost in HTTP/2",
      symbol: "isHttp1",
      replace: "source.httpVersionMajor < 2",
      by: "source.httpVersionMajor > 0",
      tests: [requestBodies]
    },
    {
      breaks: "keys: the limit that a handler sets for its body is ignored",
      symbol: "attempt",
      replace: "bytes.length > Number(limit.value)",
      by: "bytes.length < 0",
      tests: [requestBodies]
    },
    {
      breaks: "keys: a body has no limit on Node",
      symbol: "readNode",
      replace: "size > maxBytes",
      by: "false",
      tests: [requestBodies]
    }
  ]),
  ...inFile("src/internal/idempotency/memory.ts", [
    {
      breaks: "keys: a memory that is full drops requests that run",
      symbol: "memoryOperations.makeRoom",
      replace: "oldest !== undefined && oldest[1].expiresAt <= now",
      by: "oldest !== undefined && (oldest[1].expiresAt <= now || isFull())",
      tests: [upkeep]
    },
    {
      breaks: "keys: in memory a key that was kept for a short time is given away before its lease has ended",
      symbol: "memoryOperations.keep",
      replace: "Math.max(entry.leaseUntil, now + ttlMillis)",
      by: "now + ttlMillis",
      tests: [stores]
    },
    {
      breaks: "keys: in memory a stranger completes a key",
      symbol: "memoryOperations.ofOwner",
      replace: "entry?.token === token ? entry : undefined",
      by: "entry",
      tests: [stores]
    }
  ]),
  ...inFile("src/internal/idempotency/keeper.ts", [
    {
      breaks: "keys: a body that the store refuses is tried again for ever",
      symbol: "renew",
      replace: "operations.complete({ ...held, response: tooLarge(response) })",
      by: "Effect.fail(error)",
      tests: [upkeep]
    },
    {
      breaks: "keys: a renewal that takes long is begun again",
      symbol: "renewAll",
      replace: "!running.has(held)",
      by: "held !== undefined",
      tests: [upkeep]
    },
    {
      breaks: "keys: a lease is renewed when it has ended",
      symbol: "makeService",
      replace: "held.leaseMillis / 3",
      by: "held.leaseMillis * 2",
      tests: [upkeep]
    },
    {
      breaks: "keys: a response that could not be stored is given up",
      symbol: "renew",
      replace: "operations.complete({ ...held, response })",
      by: "operations.renew(held)",
      tests: [upkeep]
    }
  ]),
  ...inFile("src/internal/idempotency/sql/operations.ts", [
    {
      breaks: "keys: a claim stands in the transaction of the application",
      symbol: "sqlOperations",
      replace: "isInTransaction(fiber.currentContext)",
      by: "false",
      tests: [transactions]
    }
  ]),
  ...inFile("src/internal/idempotency/sql/statements.ts", [
    {
      breaks: "keys: in SQL a renewal shortens the life of a kept record",
      symbol: "statementsOf",
      replace: { text: "AND expires_at < " },
      by: "AND 0 < ",
      tests: [stores]
    },
    {
      breaks: "keys: in SQL a renewal does not extend a key that was kept for a short time",
      symbol: "statementsOf",
      replace: { text: "(state = 'kept' AND" },
      by: "(state = '' AND",
      tests: [stores]
    },
    {
      breaks: "keys: in SQL a key that was kept for a short time is given away before its lease has ended",
      symbol: "statementsOf",
      replace: { text: "CASE WHEN lease_until > " },
      by: "CASE WHEN 0 > ",
      tests: [stores]
    },
    {
      breaks: "keys: in SQL a key that has a response is released",
      symbol: "statementsOf",
      replace: { text: " AND state <> 'completed'" },
      by: "",
      tests: [stores]
    }
  ]),
  ...inFile("src/internal/idempotency/redis.ts", [
    {
      breaks: "keys: in Redis a renewal does not extend a key that was kept for a short time",
      symbol: "scripts",
      replace: { text: "(state == 'kept' and" },
      by: "(state == '' and",
      tests: [stores]
    },
    {
      breaks: "keys: in Redis a key that was kept for a short time is given away before its lease has ended",
      symbol: "scripts",
      replace: { text: "math.max(ARGV[2], redis.call('HGET', KEYS[1], 'lease') - now)" },
      by: "ARGV[2]",
      tests: [stores]
    },
    {
      breaks: "keys: in Redis a stranger changes a record",
      symbol: "ifOwn",
      replace: { text: "~= ARGV[1]" },
      by: "== 'nobody'",
      tests: [stores]
    }
  ]),
  ...inFile("src/internal/transaction/frame.ts", [
    {
      breaks: "keys: a transaction does not record that its request commits",
      symbol: "exitOfBody",
      replace: "Effect.zipLeft(inserting, keepKey(journal, frame))",
      by: "inserting",
      tests: [transactions]
    }
  ]),
  ...inFile("src/internal/transaction/notedConnection.ts", [
    {
      breaks: "keys: a statement without a transaction is not seen to write",
      symbol: "notedConnection",
      replace: "exit._tag === \"Success\" || exit.cause._tag !== \"Fail\" || !isRefused(exit.cause.error)",
      by: "false",
      tests: [transactions]
    },
    {
      breaks: "keys: a SELECT is seen to write",
      symbol: "isRead",
      replace: "/^[\\s(]*(?:select|show|explain|values|table|pragma|describe)\\b/i.test(sql)",
      by: "false",
      tests: [transactions]
    }
  ]),
  ...inFile("src/internal/scope/apply.ts", [
    {
      breaks: "keys: an effect leaves although another request has the key",
      symbol: "dispatch",
      replace: "if (mayLeave) { return dispatchBatch(scope, dispositions, intents, fiber) }",
      by: "if (mayLeave || intents.length > 0) { return dispatchBatch(scope, dispositions, intents, fiber) }",
      tests: [transactions]
    },
    {
      breaks: "keys: an effect that has left is not seen",
      symbol: "dispatchBatch",
      replace: "journal.isOut = true",
      by: "",
      tests: [transactions]
    }
  ]),
  ...inFile("src/internal/scope/open.ts", [
    {
      breaks: "keys: the effects of a body are not seen to leave",
      symbol: "openBeside",
      replace: "scope.journal = journalIn(context)",
      by: "",
      tests: [transactions]
    }
  ]),
  ...inFile("src/internal/idempotency/responseBody.ts", [
    {
      breaks: "keys: a stream that is collected goes on without its client",
      symbol: "captureStream",
      replace: "Effect.interruptible(pull)",
      by: "pull",
      tests: [responseBodies]
    },
    {
      breaks: "keys: cookies of a raw response are lost",
      symbol: "captureRaw",
      replace: "Cookies.merge(Cookies.fromSetCookie(body.headers.getSetCookie()), response.cookies)",
      by: "response.cookies",
      tests: [responseBodies]
    }
  ]),
  ...inFile("src/internal/http/responseHook.ts", [
    {
      breaks: "keys: a response is stored before the scopes of its request have settled",
      symbol: "outermostHook",
      replace: "shared.unshift(handler)",
      by: "shared.push(handler)",
      tests: [positions, transactions]
    }
  ])
]
