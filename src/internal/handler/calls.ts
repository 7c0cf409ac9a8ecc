/**
 * Divides a batch of intents into calls of handlers: one call for each intent, and for a batched handler one call for many
 * payloads.
 *
 * @internal
 */
import type { Outcome } from "../contract/executor.js"
import type { HandlerContext } from "../contract/task.js"
import type { Cascade } from "../scope/cascade.js"
import type { IntentRecord } from "../scope/intentRecord.js"
import type { Registration } from "./registration.js"

/** @internal */
export type Call = IntentRecord | BatchedCall

/** One call of a batched handler. @internal */
export class BatchedCall {
  constructor(
    readonly registration: Registration,
    readonly entries: ReadonlyArray<Entry>,
    /** The defect that `key` or `merge` threw, with which the call fails. */
    readonly defect?: { readonly thrown: unknown }
  ) {}

  get payloads(): ReadonlyArray<unknown> {
    return this.entries.map(({ payload }) => payload)
  }

  get intents(): ReadonlyArray<IntentRecord> {
    return this.entries.flatMap(({ intents }) => intents)
  }

  /** The longest cascade of its intents. */
  get cascade(): Cascade | undefined {
    return this.intents.reduce<Cascade | undefined>(
      (longest, { cascade }) => (cascade?.depth ?? 0) > (longest?.depth ?? 0) ? cascade : longest,
      undefined
    )
  }

  contexts(attempts: Attempts): ReadonlyArray<HandlerContext> {
    return this.entries.map(({ intents }) => contextOf(intents[intents.length - 1]!, attempts))
  }
}

/** One payload, and its intents: several if they were merged. */
interface Entry {
  payload: unknown
  readonly intents: Array<IntentRecord>
}

/** The number of the attempt: of all intents of a call, or of each. @internal */
export type Attempts = number | ((intent: IntentRecord) => number)

/** @internal */
export const attemptOf = (attempts: Attempts, intent: IntentRecord): number =>
  typeof attempts === "number" ? attempts : attempts(intent)

/** @internal */
export const contextOf = (intent: IntentRecord, attempts: Attempts): HandlerContext => ({
  intentId: intent.id,
  attempt: attemptOf(attempts, intent),
  enqueuedAt: intent.enqueuedAt
})

/** @internal */
export const intentsOf = (call: Call): ReadonlyArray<IntentRecord> =>
  call instanceof BatchedCall ? call.intents : [call]

/** Notes the outcome of a call at its intents. @internal */
export const noteOutcome = (call: Call, outcome: Outcome): void => {
  if (call instanceof BatchedCall) {
    for (const intent of call.intents) {
      intent.outcome = outcome
    }
  } else {
    call.outcome = outcome
  }
}

/**
 * Groups the intents of batched handlers into calls. A batched call comes after the calls of single intents. It comes sooner if
 * an intent of another task has the same `orderingKey` as one of its own: that intent must not overtake it.
 *
 * `batchedFor` returns the handler of an intent if the handler is batched and accepts the payload.
 *
 * @internal
 */
export const batchCalls = (
  intents: ReadonlyArray<IntentRecord>,
  batchedFor: (intent: IntentRecord) => Registration | undefined
): ReadonlyArray<Call> => {
  const calls: Array<Call> = []
  const open = new Map<Registration, Group>()
  const close = (registration: Registration, group: Group) => {
    open.delete(registration)
    calls.push(...group.calls())
  }
  for (const intent of intents) {
    const registration = batchedFor(intent)
    const { orderingKey } = intent.options
    if (orderingKey !== undefined) {
      for (const [other, group] of open) {
        if (other !== registration && group.orderingKeys.has(orderingKey)) {
          close(other, group)
        }
      }
    }
    if (registration === undefined) {
      calls.push(intent)
      continue
    }
    let group = open.get(registration)
    if (group === undefined) {
      group = new Group(registration)
      open.set(registration, group)
    }
    try {
      group.add(intent)
    } catch (thrown) {
      calls.push(new BatchedCall(registration, [{ payload: intent.payload, intents: [intent] }], { thrown }))
    }
  }
  open.forEach((group, registration) => close(registration, group))
  return calls
}

/** The intents of one batched handler. */
class Group {
  readonly orderingKeys = new Set<string>()
  private readonly entries = new Map<unknown, Entry>()

  constructor(private readonly registration: Registration) {}

  private get options() {
    return this.registration.definition.batched!
  }

  add(intent: IntentRecord): void {
    const { key: keyOf, merge } = this.options
    if (intent.options.orderingKey !== undefined) {
      this.orderingKeys.add(intent.options.orderingKey)
    }
    // Without `key`, an intent is its own key.
    const key = keyOf === undefined ? intent : keyOf(intent.payload as never)
    const earlier = this.entries.get(key)
    if (earlier === undefined) {
      this.entries.set(key, { payload: intent.payload, intents: [intent] })
      return
    }
    earlier.payload = merge === undefined ? intent.payload : merge(earlier.payload as never, intent.payload as never)
    earlier.intents.push(intent)
    // The entry moves to the place of its last intent, because that intent may depend on those between the two.
    this.entries.delete(key)
    this.entries.set(key, earlier)
  }

  calls(): ReadonlyArray<BatchedCall> {
    const entries = [...this.entries.values()]
    const size = Math.min(this.options.maxSize ?? Infinity, entries.length)
    return Array.from(
      { length: Math.ceil(entries.length / size) },
      (_, index) => new BatchedCall(this.registration, entries.slice(index * size, (index + 1) * size))
    )
  }
}
