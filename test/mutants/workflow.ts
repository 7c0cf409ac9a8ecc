/** `@effect/workflow`: the executor and the worker. */
import { inFile, type Mutant } from "./mutant.js"

const test = "test/executors/Workflow.test.ts"
const suite = "test/executors/Workflow.suite.test.ts"

export const workflow: ReadonlyArray<Mutant> = inFile("src/executors/Workflow.ts", [
  {
    breaks: "workflow: an execution has an id of its own",
    symbol: "definition",
    replace: "({ id }) => id",
    by: "({ id }) => `${id} ${Math.random()}`",
    tests: [suite]
  },
  {
    breaks: "workflow: the queue of an intent is that of the executor",
    symbol: "executor",
    replace: "intent.options.queue ?? queue",
    by: "intent.options.queue === \"\" ? \"\" : queue",
    tests: [test]
  },
  {
    breaks: "workflow: what has left at the time limit counts as failed",
    symbol: "executor",
    replace: "outcomes.get(intent) ?? outcomeOf(intent, Exit.fail(tooLate))",
    by: "outcomes.size < intents.length ? outcomeOf(intent, Exit.fail(tooLate)) : outcomes.get(intent)!",
    tests: [test]
  },
  {
    breaks: "workflow: a batch has no time limit",
    symbol: "executor",
    replace: "Effect.timeoutOption(timeout)",
    by: "Effect.asSome",
    tests: [test]
  },
  {
    breaks: "workflow: a workflow is stored in the transaction around it",
    symbol: "apartFrom",
    replace: "withoutTransaction(context)",
    by: "withoutTransaction === undefined ? context : context",
    tests: [test]
  },
  {
    breaks: "workflow: a workflow is a child of the workflow around it",
    symbol: "apartFrom",
    replace: "Context.omit(WorkflowInstance)",
    by: "((given: Context.Context<WorkflowEngine | WorkflowInstance>) => given as Context.Context<WorkflowEngine>)",
    tests: [test]
  },
  {
    breaks: "workflow: an intent is started before its delay",
    symbol: "storedOf",
    replace: "time > now",
    by: "time > now + 1e15",
    tests: [suite]
  },
  {
    breaks: "workflow: the attempts of an enqueue have no effect",
    symbol: "storedOf",
    replace: "maxAttempts !== undefined && { maxAttempts }",
    by: "maxAttempts === 0 && { maxAttempts }",
    tests: [test]
  },
  {
    breaks: "workflow: handlers run without a limit",
    symbol: "worker",
    replace: "permits.withPermits(1)",
    by: "permits.withPermits(0)",
    tests: [test]
  },
  {
    breaks: "workflow: a worker runs tasks that are not its own",
    symbol: "worker",
    replace: "yield* servedOf(handlers, tasks)",
    by: "yield* servedOf(handlers, tasks === undefined ? tasks : undefined)",
    tests: [test]
  },
  {
    breaks: "workflow: a payload that never fits, or a discarded intent, is tried again",
    symbol: "attemptsWith.failed",
    replace: "isForGood(reason)",
    by: "isForGood === undefined",
    tests: [test]
  },
  {
    breaks: "workflow: a handler has one attempt more than it may",
    symbol: "attemptsWith.failed",
    replace: "attempt >= maxAttempts",
    by: "attempt > maxAttempts",
    tests: [test]
  },
  {
    breaks: "workflow: the schedule of a task has no effect",
    symbol: "attemptsWith.failed",
    replace: "retry?.schedule",
    by: "undefined",
    tests: [test]
  },
  {
    breaks: "workflow: a handler does not hear its attempt",
    symbol: "attemptsWith.run",
    replace: "{ attempt, timeout: intent.task.retry?.timeout ?? timeout }",
    by: "{ timeout: intent.task.retry?.timeout ?? timeout }",
    tests: [test]
  },
  {
    breaks: "workflow: a handler has no time limit",
    symbol: "attemptsWith.run",
    replace: "{ attempt, timeout: intent.task.retry?.timeout ?? timeout }",
    by: "{ attempt }",
    tests: [test]
  }
])
