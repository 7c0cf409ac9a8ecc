import { Effect } from "effect"
import { Executor } from "effect-airlock"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"

ExecutorSuite.run("inProcess", Effect.sync(() => ({ executor: Executor.inProcess() })), {
  without: ["worker", "connection"]
})
