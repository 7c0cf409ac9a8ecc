/** Printed errors, deadlines, Effect's private members, semaphores and ids. */
import { inFile, type Mutant } from "./mutant.js"

export const support: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/support/json.ts", [
    {
      breaks: "payload: any number counts as one that JSON keeps",
      symbol: "isSafe",
      replace: "finite.has(ast.annotations[AST.SchemaIdAnnotationId])",
      by: "finite.size > 0",
      tests: ["test/outbox/payloads.test.ts"]
    },
    {
      breaks: "payload: an integer counts as finite, whatever encodes it",
      symbol: "isSafe",
      replace: "refinesNumber(ast)",
      by: "true",
      tests: ["test/outbox/payloads.test.ts"]
    },
    {
      breaks: "payload: JSON inside a text is not decoded before it is stored",
      symbol: "hidesJson",
      replace: "!isJsonSafe(ast.to)",
      by: "false",
      tests: ["test/outbox/payloads.test.ts"]
    },
    {
      breaks: "payload: an instance of a class counts as what JSON keeps",
      symbol: "isJson",
      replace: "!isPlain(value)",
      by: "false",
      tests: ["test/outbox/payloads.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/payload.ts", [
    {
      breaks: "payload: an outbox stores what JSON changes",
      symbol: "encodeOrIssues",
      replace: "isStored && !encoder.isJsonSafe",
      by: "false",
      tests: ["test/outbox/payloads.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/deadline.ts", [
    {
      breaks: "I2: an interruption ends the wait for a dispatch",
      symbol: "runWithDeadline",
      replace: "return awaited",
      by: "return Effect.interruptible(awaited)",
      tests: ["test/scenarios/interruption.test.ts"]
    },
    {
      breaks: "I11: an executor that hangs has no deadline",
      symbol: "exitWithin",
      replace: "Effect.sleep(limit)",
      by: "Effect.sleep(Duration.infinity)",
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/effectInternals.ts", [
    {
      breaks: "FiberRefs that a body set are undone when its scope ends",
      symbol: "updateRefs",
      replace: "now === changed",
      by: "now !== undefined",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "FiberRefs: a body that goes on in another fiber stays in its scope",
      symbol: "updateRefs",
      replace: "runningFiber()",
      by: "fiber",
      tests: ["test/scenarios/batchedRequests.test.ts"]
    },
    {
      breaks: "FiberRefs: the value that a fiber inherited is lost, so that a join takes its own for a change",
      symbol: "updatedRefs",
      replace: "[[id, value], ...stack[0][0] === id ? stack.slice(1) : stack]",
      by: "[[id, value]]",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I11: a deep cascade overflows the stack",
      symbol: "startFiber",
      replace: "nesting <= maxNesting",
      by: "true",
      tests: ["test/internal/support/effectInternals.test.ts"]
    },
    {
      breaks: "a private member of Effect that is missing is not reported",
      symbol: "missingInternals",
      replace: `["RuntimeFiber.setFiberRefs"]`,
      by: "[]",
      tests: ["test/internal/support/effectInternals.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/callSite.ts", [
    {
      breaks: "the call site leaves the limit of all stack traces at 1",
      symbol: "callSite",
      replace:
        `restore(v8, prepareStackTrace === undefined ? { stackTraceLimit } : { prepareStackTrace, stackTraceLimit })`,
      by: "",
      tests: ["test/internal/support/callSite.test.ts"]
    },
    {
      breaks: "the call site is not found with a formatter of stack traces that gives no text",
      symbol: "callSite",
      replace: "v8.prepareStackTrace = undefined",
      by: "",
      tests: ["test/internal/support/callSite.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/printError.ts", [
    {
      breaks: "an error that cannot be printed throws",
      symbol: "partsOf",
      replace: "justMessage(unprintable)",
      by: "((): Printed => {\n        throw new Error(unprintable)\n      })()",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "an error of a handler loses its fields",
      symbol: "fieldsOf",
      replace: "set(fields, key, dataOf(read(() => Reflect.get(shown, key), unprintable), walk))",
      by: "",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "an error of a handler loses its causes",
      symbol: "partsOfObject",
      replace: "cause === undefined || cause === null ? undefined : partsOf(cause, walk)",
      by: "undefined",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "a stack loses the frames of other packages",
      symbol: "isForeign",
      replace: "/[\\\\/]node_modules[\\\\/]effect(?:-airlock)?[\\\\/]|Generator\\.next \\(|effect_internal_function/",
      by: "/node_modules/",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "headers that are redacted are printed",
      symbol: "dataOfObject",
      replace: "value[Inspectable.symbolRedactable](currentRefs())",
      by: "Object.entries(value)",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "the body of a request is printed",
      symbol: "dataOfObject",
      replace: "textOfHttp(value)",
      by: "undefined as string | undefined",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "a header in a field is printed",
      symbol: "set",
      replace: "secretHeaders.has(key.toLowerCase())",
      by: "secretHeaders.has(\"\")",
      tests: ["test/internal/support/printError.test.ts"]
    },
    {
      breaks: "of the errors of a handler only the first is kept",
      symbol: "errorsOf",
      replace: "[squashed, ...all]",
      by: "[squashed]",
      tests: ["test/internal/support/printError.test.ts", "test/AirlockError.test.ts"]
    },
    {
      breaks: "I11: a dead letter stores an error of any size",
      symbol: "shortenBytes",
      replace: "bytes.length <= maxBytes",
      by: "true",
      tests: ["test/internal/support/printError.test.ts", "test/internal/outbox/relay/results.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/semaphore.ts", [
    {
      breaks: "semaphore: a later take overtakes those that wait",
      symbol: "Semaphore.take",
      replace: "this.waiters.length === 0",
      by: "true",
      tests: ["test/internal/support/semaphore.test.ts"]
    },
    {
      breaks: "semaphore: the last waiter is granted first",
      symbol: "Semaphore.grant",
      replace: "this.waiters.shift()",
      by: "this.waiters.pop()",
      tests: ["test/internal/support/semaphore.test.ts"]
    },
    {
      breaks: "semaphore: an interrupted waiter is granted a permit later, which is lost",
      symbol: "Semaphore.take",
      replace: "this.waiters.splice(this.waiters.indexOf(waiter), 1)",
      by: "",
      tests: ["test/internal/support/semaphore.test.ts"]
    },
    {
      breaks: "semaphore: an interrupted waiter does not let in those behind it",
      symbol: "Semaphore.take",
      replace: "this.grant()",
      by: "",
      tests: ["test/internal/support/semaphore.test.ts"]
    },
    {
      breaks: "semaphore: the time limit of a wait is ignored",
      symbol: "Semaphore.take",
      replace: "Effect.sleep(limit)",
      by: "Effect.never",
      tests: ["test/internal/support/semaphore.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/id.ts", [
    {
      breaks: "ids of many milliseconds have the same random bits",
      symbol: "beginMillisecond",
      replace: "globalThis.crypto.getRandomValues(random)",
      by: "",
      tests: ["test/internal/support/id.test.ts"]
    }
  ])
]
