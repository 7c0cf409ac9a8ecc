/**
 * A scope's own state: its buffer, and how far its life has come. Settling it is in `settle.ts`.
 *
 * @internal
 */
import type * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import { globalValue } from "effect/GlobalValue"
import type { ScopeOptions, ScopeState, ScopeView } from "../AirlockScope.js"
import type { Executor } from "../Executor.js"
import type { AirlockService } from "./airlock.js"
import type { IntentRecord } from "./intent.js"
import { planOf } from "./planOf.js"
import type { PolicyChain } from "./policyChain.js"
import { type Fork, type Position, rootFork, ScopeTypeId } from "./position.js"
import type { Settlement } from "./settle.js"

const ids = globalValue(Symbol.for("effect-airlock/scopeIds"), () => ({ last: 0 }))

/** @internal */
export class Scope implements ScopeView, Position {
  readonly [ScopeTypeId] = ScopeTypeId
  readonly id = ++ids.last
  readonly fork: Fork = rootFork()
  readonly buffer: Array<IntentRecord> = []
  state: ScopeState = "open"
  /** Whether its fiber entered it for good, to stand where it stood before as soon as it has settled. */
  entered = false
  enteredFrom: Position | undefined = undefined
  /** Whether the fiber that opened it was interrupted already: then it is there for the cleanup. */
  openedInterrupted = false
  /** What came of it, once it has settled; and where those wait who came second while it settles. */
  settlement: Settlement | undefined = undefined
  latecomers: Deferred.Deferred<Settlement> | undefined = undefined
  /** Whether it is there to be planned only: nothing leaves from it, or from any scope inside it. */
  planning: boolean
  /** For a handler's scope, and those inside it: the handlers that led there. */
  cascade: Cascade | undefined
  /** How many scopes are around it. */
  readonly depth: number
  /** The HTTP request in whose context it was opened, and, where the scope is that of the request, what it is named by. */
  requestSource: unknown = undefined
  request: { readonly method: string, readonly url: string } | undefined = undefined
  /** For a scope that must settle before the response is sent: what is to run then, shared by those inside each other. */
  beforeResponse: Array<BeforeResponse> | undefined = undefined

  constructor(
    readonly airlock: AirlockService,
    readonly executor: Executor,
    readonly policies: PolicyChain | undefined,
    readonly outer: Position | undefined,
    readonly options: ScopeOptions
  ) {
    const parent = outer?.scope
    this.cascade = parent?.cascade
    this.planning = parent !== undefined && parent.planning
    this.depth = parent === undefined ? 0 : parent.depth + 1
  }

  // The position of the fiber that opened the scope is the scope itself: one object less for each.
  get scope(): this {
    return this
  }

  get name(): string {
    return this.options.name ??
      (this.request === undefined ? `scope ${this.id}` : `${this.request.method} ${this.request.url.split("?")[0]}`)
  }

  get maxIntents(): number {
    return this.options.maxIntents ?? this.airlock.maxIntents
  }

  get policyTimeout(): Duration.Duration {
    return within(this.options.policyTimeout, this.airlock.policyTimeout)
  }

  get maxPayloadBytes(): number {
    return this.options.maxPayloadBytes ?? this.airlock.maxPayloadBytes
  }

  get maxCascade(): number {
    return this.options.maxCascade ?? this.airlock.maxCascade
  }

  get approveTimeout(): Duration.Duration {
    return within(this.options.approveTimeout, this.airlock.approveTimeout)
  }

  get dispatchTimeout(): Duration.Duration {
    return within(this.options.dispatchTimeout, this.airlock.dispatchTimeout)
  }

  get intents(): ReadonlyArray<IntentRecord> {
    return this.buffer.slice()
  }

  get own(): ReadonlyArray<IntentRecord> {
    return this.buffer.filter((intent) => intent.scopeId === this.id)
  }

  get captured(): ReadonlyArray<IntentRecord> {
    return this.buffer.filter((intent) => intent.scopeId !== this.id)
  }

  get plan(): ScopeView["plan"] {
    return planOf(this)
  }
}

/**
 * The core knows no HTTP: what a request and a response are here is known where these are made and called.
 *
 * @internal
 */
export interface BeforeResponse {
  (request: never, response: never): unknown
}

/**
 * The handlers that led to a scope, the last one first.
 *
 * @internal
 */
export interface Cascade {
  readonly task: string
  readonly depth: number
  readonly outer: Cascade | undefined
}

const within = (own: Duration.DurationInput | undefined, airlock: Duration.Duration): Duration.Duration =>
  own === undefined ? airlock : Duration.decode(own)
