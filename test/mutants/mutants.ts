import { amqp } from "./amqp.js"
import { command } from "./command.js"
import { config } from "./config.js"
import { directCalls } from "./directCalls.js"
import { engine } from "./engine.js"
import { executor } from "./executor.js"
import { handler } from "./handler.js"
import { http } from "./http.js"
import { idempotency } from "./idempotency.js"
import { lint } from "./lint.js"
import type { Mutant } from "./mutant.js"
import { operations } from "./operations.js"
import { outbox } from "./outbox.js"
import { persistedQueue } from "./persistedQueue.js"
import { relay } from "./relay.js"
import { scope } from "./scope.js"
import { support } from "./support.js"
import { telemetry } from "./telemetry.js"
import { transaction } from "./transaction.js"
import { workflow } from "./workflow.js"

export const mutants: ReadonlyArray<Mutant> = [
  ...scope,
  ...support,
  ...handler,
  ...executor,
  ...telemetry,
  ...http,
  ...idempotency,
  ...transaction,
  ...outbox,
  ...relay,
  ...operations,
  ...config,
  ...command,
  ...engine,
  ...directCalls,
  ...amqp,
  ...persistedQueue,
  ...workflow,
  ...lint
]
