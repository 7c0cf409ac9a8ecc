/** Idempotency keys: who runs, what is stored, and what is freed. */
import { inFile, type Mutant } from "./mutant.js"

const requests = "test/idempotency/requests.test.ts"
const bodies = "test/idempotency/bodies.test.ts"
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
      tests: [requests]
    },
    {
      breaks: "keys: a safe method needs a key",
      symbol: "idempotent",
      replace: "safeMethods.has(request.method)",
      by: "false",
      tests: [requests]
    },
    {
      breaks: "keys: a header that was sent twice is taken for one",
      symbol: "idempotent",
      replace: "isRepeated(request.source, settings.header, header)",
      by: "false",
      tests: [requests]
    },
    {
      breaks: "keys: a request lets a store that fails through, unasked",
      symbol: "claimed",
      replace: "settings.isOpen",
      by: "true",
      tests: [requests]
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
      breaks: "keys: a duplicate waits for ever",
      symbol: "waitFor",
      replace: "left <= 0",
      by: "false",
      tests: [requests],
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
      tests: [bodies]
    },
    {
      breaks: "keys: a body that failed is replayed",
      symbol: "ProtectedRequest.end",
      replace: "!hasFailed",
      by: "true",
      tests: [bodies]
    }
  ]),
  ...inFile("src/internal/idempotency/key.ts", [
    {
      breaks: "keys: a key may be of any length",
      symbol: "parseKey",
      replace: "key.length > maxKeyLength",
      by: "false",
      tests: [requests]
    }
  ]),
  ...inFile("src/internal/idempotency/fingerprint.ts", [
    {
      breaks: "keys: two callers share a key",
      symbol: "recordId",
      replace: "[request.method, pathOf(request), caller, key]",
      by: "[request.method, pathOf(request), key]",
      tests: [requests]
    },
    {
      breaks: "keys: parts of an id are joined without delimiters",
      symbol: "recordId",
      replace: "JSON.stringify([request.method, pathOf(request), caller, key])",
      by: "[request.method, pathOf(request), caller, key].join('')",
      tests: [requests]
    },
    {
      breaks: "keys: two methods share a key",
      symbol: "recordId",
      replace: "request.method",
      by: "''",
      tests: [requests]
    },
    {
      breaks: "keys: the query is no part of the fingerprint",
      symbol: "fingerprintOf",
      replace: "[\"bytes\", query]",
      by: "[\"bytes\"]",
      tests: [requests]
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
      tests: [requests]
    },
    {
      breaks: "keys: numbers that JavaScript cannot keep apart are one JSON value",
      symbol: "canonicalJson",
      replace: "numberText(found)",
      by: "Number(found)",
      tests: [requests]
    }
  ]),
  ...inFile("src/internal/idempotency/options.ts", [
    {
      breaks: "keys: a 409 of the handler is stored",
      symbol: "storesByDefault",
      replace: "!passing.has(status)",
      by: "true",
      tests: [requests]
    }
  ]),
  ...inFile("src/internal/idempotency/routes.ts", [
    {
      breaks: "keys: contradicting options are taken",
      symbol: "withoutContradictions",
      replace: "modeOf(other) !== modeOf(declared)",
      by: "modeOf(other) !== modeOf(other)",
      tests: [requests]
    }
  ]),
  ...inFile("src/internal/idempotency/replay.ts", [
    {
      breaks: "keys: a replay has cookies and the date of another message",
      symbol: "storedHeaders",
      replace: "!notStored.has(name)",
      by: "true",
      tests: [requests]
    }
  ]),
  ...inFile("src/internal/idempotency/requestBody.ts", [
    {
      breaks: "keys: a body has no limit on Node",
      symbol: "readNode",
      replace: "size > maxBytes",
      by: "false",
      tests: [bodies]
    }
  ]),
  ...inFile("src/internal/idempotency/memory.ts", [
    {
      breaks: "keys: a memory that is full drops requests that run",
      symbol: "memoryOperations.makeRoom",
      replace: "entries === completed && isFull()",
      by: "isFull()",
      tests: [requests]
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
      breaks: "keys: a lease is renewed when it has ended",
      symbol: "makeService",
      replace: "held.leaseMillis / 3",
      by: "held.leaseMillis * 2",
      tests: [requests]
    },
    {
      breaks: "keys: a response that could not be stored is given up",
      symbol: "renew",
      replace: "response === undefined ? operations.renew(held) : operations.complete({ ...held, response })",
      by: "operations.renew(held)",
      tests: [requests]
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
      replace: { text: "expires_at = CASE WHEN state = 'claimed' THEN" },
      by: "expires_at = CASE WHEN state <> 'completed' THEN",
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
