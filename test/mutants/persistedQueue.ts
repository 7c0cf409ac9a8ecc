/** PersistedQueue of `@effect/experimental`. */
import { inFile, type Mutant } from "./mutant.js"

const tests = ["test/executors/PersistedQueue.test.ts"] as const

export const persistedQueue: ReadonlyArray<Mutant> = [
  ...inFile("src/executors/PersistedQueue.ts", [
    {
      breaks: "PersistedQueue: an element has an id of its own",
      symbol: "executor",
      replace: "{ id: intent.id }",
      by: "undefined",
      tests
    },
    {
      breaks: "PersistedQueue: a batch waits for ever for its store",
      symbol: "executor",
      replace: "Effect.timeoutOption(timeout)",
      by: "Effect.asSome",
      tests
    },
    {
      breaks: "PersistedQueue: what the store did not answer in time counts as handed over",
      symbol: "executor",
      replace: "outcomes[index] ?? failed(intent, tooLate(timeout))",
      by: "outcomes[index] ?? Exit.void",
      tests
    },
    {
      breaks: "PersistedQueue: an intent that the store refuses counts as handed over",
      symbol: "executor.offer",
      replace: "failed(intent, Cause.squash(cause))",
      by: "Cause.isEmpty(cause) ? failed(intent, cause) : Exit.void",
      tests: ["test/executors/PersistedQueue.suite.test.ts"]
    },
    {
      breaks: "PersistedQueue: a payload that never fits is tried again",
      symbol: "worker",
      replace: "isForGood(error) || attempt >= element.maxAttempts",
      by: "attempt >= element.maxAttempts",
      tests
    },
    {
      breaks: "PersistedQueue: an element is tried once more than it may be",
      symbol: "worker",
      replace: "attempt >= element.maxAttempts",
      by: "attempt > element.maxAttempts",
      tests
    },
    {
      breaks: "PersistedQueue: an element that no executor has offered is gone",
      symbol: "worker",
      replace: "bury(element, 0, new Error(\"No executor has offered this element\"))",
      by: "Effect.succeed<Verdict>(\"done\")",
      tests
    },
    {
      breaks: "PersistedQueue: a failed element goes back at once",
      symbol: "worker",
      replace: "Effect.sleep(retryDelay)",
      by: "Effect.void",
      tests
    },
    {
      breaks: "PersistedQueue: a worker that stops waits for the delay of a failed element",
      symbol: "worker",
      replace: "Deferred.succeed(stopping, undefined)",
      by: "Effect.void",
      tests
    },
    {
      breaks: "PersistedQueue: an element of a handler that was stopped is done",
      symbol: "worker",
      replace: "ended === \"ended\" ? \"done\" : \"back\"",
      by: "\"done\"",
      tests
    },
    {
      breaks: "PersistedQueue: an element of a handler that was stopped has a failed attempt",
      symbol: "worker",
      replace: "ended === \"ended\" ? \"done\" : \"back\"",
      by: "ended === \"ended\" ? \"done\" : new Error(ended)",
      tests
    }
  ]),
  ...inFile("src/internal/engine/persistedQueue/element.ts", [
    {
      breaks: "PersistedQueue: the maxAttempts of an intent count for nothing",
      symbol: "elementOf",
      replace: "intent.options.maxAttempts ?? intent.task.retry?.maxAttempts ?? maxAttempts",
      by: "intent.task.retry?.maxAttempts ?? maxAttempts",
      tests
    }
  ]),
  ...inFile("src/internal/engine/persistedQueue/takers.ts", [
    {
      breaks: "PersistedQueue: the store counts the attempts, and Redis's loses the last one",
      symbol: "unlimited",
      replace: "2 ** 31 - 1",
      by: "2",
      tests
    },
    {
      breaks: "PersistedQueue: the attempt does not grow",
      symbol: "startTakers.takeOne",
      replace: "attempts + 1",
      by: "1 + 0 * attempts",
      tests: ["test/executors/PersistedQueue.suite.test.ts"]
    },
    {
      breaks: "PersistedQueue: a store that was away is not reported",
      symbol: "startTakers.takeOne",
      replace: "verdict === undefined || verdict === \"done\"",
      by: "verdict === undefined",
      tests
    },
    {
      breaks: "PersistedQueue: a worker that stops interrupts what it is handling",
      symbol: "startTakers",
      replace: "handling.has(index)",
      by: "handling.has(-1 - index)",
      tests: ["test/executors/PersistedQueue.suite.test.ts"]
    }
  ])
]
