/**
 * Which calls of handlers a batch of intents needs: one for each, or, where a task takes many at once, as few as it allows.
 *
 * @internal
 */
import type * as Task from "../Task.js"
import type { Registration } from "./handlers.js"
import type { IntentRecord } from "./intent.js"
import type { Cascade } from "./scope.js"

/** @internal */
export type Call = IntentRecord | Batch

/** What one call of a batched handler gets. @internal */
export class Batch {
  constructor(
    readonly registration: Registration,
    readonly entries: ReadonlyArray<Entry>,
    /** What was thrown when it was gathered: then there is no call to make. */
    readonly defect?: { readonly thrown: unknown }
  ) {}

  get payloads(): ReadonlyArray<unknown> {
    return this.entries.map(({ payload }) => payload)
  }

  get intents(): ReadonlyArray<IntentRecord> {
    return this.entries.flatMap(({ intents }) => intents)
  }

  /** The longest way by which handlers led here. */
  get cascade(): Cascade | undefined {
    return this.intents.reduce<Cascade | undefined>(
      (longest, { cascade }) => (cascade?.depth ?? 0) > (longest?.depth ?? 0) ? cascade : longest,
      undefined
    )
  }

  contexts(attempt: number): ReadonlyArray<Task.HandlerContext> {
    return this.entries.map(({ intents }) => contextOf(intents[intents.length - 1]!, attempt))
  }
}

/** One payload, and the intents that it stands for: more than one where they were merged. */
interface Entry {
  payload: unknown
  readonly intents: Array<IntentRecord>
}

/** @internal */
export const contextOf = ({ enqueuedAt, id }: IntentRecord, attempt: number): Task.HandlerContext => ({
  intentId: id,
  attempt,
  enqueuedAt
})

/** @internal */
export const intentsOf = (call: Call): ReadonlyArray<IntentRecord> => call instanceof Batch ? call.intents : [call]

/**
 * What a task takes at once is gathered from all of the intents, and called for after the others; or sooner, where another
 * task has an intent of the same `orderingKey`, which must not overtake.
 *
 * `batchedFor` gives the handler of an intent, if that one takes many and the payload fits it.
 *
 * @internal
 */
export const gather = (
  intents: ReadonlyArray<IntentRecord>,
  batchedFor: (intent: IntentRecord) => Registration | undefined
): ReadonlyArray<Call> => {
  const calls: Array<Call> = []
  const open = new Map<Registration, Gathering>()
  const close = (registration: Registration, gathering: Gathering) => {
    open.delete(registration)
    calls.push(...gathering.batches())
  }
  for (const intent of intents) {
    const registration = batchedFor(intent)
    const { orderingKey } = intent.options
    if (orderingKey !== undefined) {
      for (const [other, gathering] of open) {
        if (other !== registration && gathering.orderingKeys.has(orderingKey)) {
          close(other, gathering)
        }
      }
    }
    if (registration === undefined) {
      calls.push(intent)
      continue
    }
    let gathering = open.get(registration)
    if (gathering === undefined) {
      gathering = new Gathering(registration)
      open.set(registration, gathering)
    }
    try {
      gathering.add(intent)
    } catch (thrown) {
      calls.push(new Batch(registration, [{ payload: intent.payload, intents: [intent] }], { thrown }))
    }
  }
  open.forEach((gathering, registration) => close(registration, gathering))
  return calls
}

class Gathering {
  readonly orderingKeys = new Set<string>()
  private readonly entries = new Map<unknown, Entry>()

  constructor(private readonly registration: Registration) {}

  add(intent: IntentRecord): void {
    const { key: keyOf, merge } = this.registration.batched!
    if (intent.options.orderingKey !== undefined) {
      this.orderingKeys.add(intent.options.orderingKey)
    }
    // An intent is its own key where none is asked for.
    const key = keyOf === undefined ? intent : keyOf(intent.payload as never)
    const earlier = this.entries.get(key)
    if (earlier === undefined) {
      this.entries.set(key, { payload: intent.payload, intents: [intent] })
      return
    }
    earlier.payload = merge === undefined ? intent.payload : merge(earlier.payload as never, intent.payload as never)
    earlier.intents.push(intent)
    // The last one's place is that of all: what was enqueued in between may be what it builds on.
    this.entries.delete(key)
    this.entries.set(key, earlier)
  }

  batches(): ReadonlyArray<Batch> {
    const entries = [...this.entries.values()]
    const size = Math.min(this.registration.batched!.maxSize ?? Infinity, entries.length)
    return Array.from(
      { length: Math.ceil(entries.length / size) },
      (_, index) => new Batch(this.registration, entries.slice(index * size, (index + 1) * size))
    )
  }
}
