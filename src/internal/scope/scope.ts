/**
 * The state of a scope, and the chain of scopes around it. `settle.ts` settles it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Deferred from "effect/Deferred"
import { globalValue } from "effect/GlobalValue"
import type { FlushFailure } from "../../AirlockError.js"
import type { AirlockService } from "../contract/airlock.js"
import type { Executor } from "../contract/executor.js"
import { type ResolvedLimits, resolveLimits } from "../contract/limits.js"
import type { ScopeOptions, ScopeState, ScopeView } from "../contract/scope.js"
import type { AnyFiber } from "../support/effectInternals.js"
import type { Cascade } from "./cascade.js"
import { type Fork, makeFork } from "./fork.js"
import type { IntentRecord } from "./intentRecord.js"
import { type Journal, journalIn } from "./journal.js"
import type { PolicyChain } from "./policyChain.js"

/** The scope, the policies and the fork of a fiber. @internal */
export interface Current {
  readonly scope: Scope | undefined
  readonly policies: PolicyChain | undefined
  readonly fork: Fork
  /** Whether a policy runs in the fiber. Then there is no scope. */
  readonly isPolicy?: boolean
}

/** A {@link Current} inside a scope. @internal */
export interface CurrentInside extends Current {
  readonly scope: Scope
}

/** How a fiber entered a scope without a bracket. @internal */
export interface Entered {
  /** The fiber that entered it, or that joined that fiber. To any other fiber the scope was handed by a runtime. */
  fiber: AnyFiber
  /** What was current in the fiber before. It is current again when the scope has settled. */
  readonly from: Current | undefined
}

/** The result of settling a scope. @internal */
export interface Settlement {
  readonly state: "flushed" | "discarded"
  /** The intents that should have left and did not. */
  readonly failures: ReadonlyArray<FlushFailure>
  /** A defect of code that settling called, such as `shouldFlush`. */
  readonly defect: Cause.Cause<never>
  /** Whether a durable executor should have stored one of the failed intents. */
  readonly isLost: boolean
}

/**
 * The options of a scope, and what holds for all scopes of the application where they say nothing. A plan shows all intents, so
 * its own scope has the options alone.
 */
const optionsOf = ({ airlock, options, outer, planning }: ScopeFields): ScopeOptions => {
  if (airlock.scope === undefined || (planning && outer === undefined)) {
    return options
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...airlock.scope, ...Object.fromEntries(given) }
}

const ids = globalValue(Symbol.for("effect-airlock/scopeIds"), () => ({ last: 0 }))

/** @internal */
export interface ScopeFields {
  readonly airlock: AirlockService
  readonly executor: Executor
  readonly policies: PolicyChain | undefined
  /** Where it was opened inside another scope. */
  readonly outer: CurrentInside | undefined
  /** The context in which it was opened. */
  readonly context: Context.Context<never>
  readonly options: ScopeOptions
  /** The handlers that led to it, if a handler opened it. */
  readonly cascade: Cascade | undefined
  /** Whether it belongs to a dry run: no intent is dispatched from it, nor from the scopes inside it. */
  readonly planning: boolean
  /** Whether its fiber could be interrupted when it opened the scope. If not, an interruption does not cancel the scope. */
  readonly interruptible: boolean
  /** The fiber that opened it, if one did that later forks others in it. */
  readonly openedBy?: AnyFiber
  /** The name of the scope of its fiber, if that one had settled before this one was opened, as a root. */
  readonly settledAround?: string | undefined
}

/**
 * A scope is also the {@link Current} of the fiber that opened it: that saves an object for each scope.
 *
 * @internal
 */
export class Scope implements CurrentInside {
  readonly id = ++ids.last
  readonly fork: Fork
  buffer: Array<IntentRecord> = []
  readonly limits: ResolvedLimits
  readonly airlock: AirlockService
  readonly executor: Executor
  readonly policies: PolicyChain | undefined
  readonly outer: CurrentInside | undefined
  readonly context: Context.Context<never>
  readonly options: ScopeOptions
  readonly cascade: Cascade | undefined
  readonly planning: boolean
  readonly interruptible: boolean
  readonly settledAround: string | undefined
  /** How many scopes are around it. */
  readonly depth: number
  state: ScopeState = "open"
  settlement: Settlement | undefined = undefined
  /** Completes with the settlement. Present if a second fiber waits for the settlement. */
  settled: Deferred.Deferred<Settlement> | undefined = undefined
  /** Present if its fiber entered it without a bracket, and leaves it when it settles. */
  entered: Entered | undefined = undefined
  /** What its request has done, if that has an idempotency key. */
  journal: Journal | undefined
  /** Its view, once one was asked for. */
  view: ScopeView | undefined = undefined
  /** Its name if the options have none. */
  defaultName: () => string = () => `scope ${this.id}`

  constructor(fields: ScopeFields) {
    this.fork = makeFork(undefined, fields.openedBy)
    this.airlock = fields.airlock
    this.executor = fields.executor
    this.policies = fields.policies
    this.outer = fields.outer
    this.context = fields.context
    this.journal = journalIn(fields.context)
    this.options = optionsOf(fields)
    this.cascade = fields.cascade
    this.planning = fields.planning
    this.interruptible = fields.interruptible
    this.settledAround = fields.settledAround
    this.depth = fields.outer === undefined ? 0 : fields.outer.scope.depth + 1
    this.limits = resolveLimits(fields.options, fields.airlock)
  }

  get scope(): this {
    return this
  }

  get name(): string {
    return this.options.name ?? this.defaultName()
  }

  get own(): ReadonlyArray<IntentRecord> {
    return this.buffer.filter((intent) => intent.scopeId === this.id)
  }

  get captured(): ReadonlyArray<IntentRecord> {
    return this.buffer.filter((intent) => intent.scopeId !== this.id)
  }
}

/** The first of a scope and the scopes around it for which a predicate holds. @internal */
export const findScope = (scope: Scope | undefined, predicate: (scope: Scope) => boolean): Scope | undefined => {
  for (let at = scope; at !== undefined; at = at.outer?.scope) {
    if (predicate(at)) {
      return at
    }
  }
  return undefined
}

/** Whether a scope is another one, or inside it. @internal */
export const isInside = (scope: Scope | undefined, outer: Scope): boolean =>
  findScope(scope, (at) => at === outer) !== undefined
