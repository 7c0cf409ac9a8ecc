/**
 * Replaces the methods with which code adds jobs to an engine. A call in a scope becomes an intent, whose handler calls the original
 * method. So the intent goes through any executor, and the engine's job is the one that the call would have added.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { globalValue } from "effect/GlobalValue"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as EffectScope from "effect/Scope"
import { NoScopeError } from "../../../AirlockError.js"
import type { AnyTask, EnqueueOptions } from "../../../Intent.js"
import { Airlock, type AirlockService } from "../../contract/airlock.js"
import type { Handler, HandlerContext } from "../../contract/task.js"
import { currentOf } from "../../scope/currentScope.js"
import { enqueue } from "../../scope/enqueue.js"
import { callSite, withCallersStack } from "../../support/callSite.js"
import { callersRuntime, noteTurns } from "./plainCode.js"

/**
 * The options of `intercept`.
 *
 * @since 0.1.0
 * @category options
 */
export interface InterceptOptions {
  /**
   * The names of the jobs that are intercepted. Other jobs go directly, without a warning. Give them all if an outbox stores the
   * intents: a relay that has just started knows only the tasks of these names. Default: all jobs.
   */
  readonly names?: ReadonlyArray<string>
  /**
   * What becomes of a call outside of a scope, and of one that comes when its scope has settled. `pass`: it goes to the engine at
   * once. `fail`: its Promise is rejected with a `NoScopeError`, or with a `ScopeClosedError`. Default: `pass`.
   */
  readonly outside?: "pass" | "fail"
  /**
   * The first part of the names of the tasks, before a slash and the name of the job. Default: the name of the BullMQ queue,
   * `pg-boss`, or `graphile-worker`.
   */
  readonly prefix?: string
}

/**
 * The methods of an engine that are intercepted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interception {
  /**
   * Restores the original methods, before the Scope closes. It does nothing the second time. Intents that are still in a scope leave
   * as before. If other code has replaced a method meanwhile, its replacement stays, and calls the original one.
   */
  readonly uninstall: Effect.Effect<void>
}

/** A method of an engine that adds jobs. @internal */
export type Method = (...args: Array<any>) => any

/** The original methods by their names, bound to their object. @internal */
export type Originals = Readonly<Record<string, Method>>

/** A job that a call adds. @internal */
export interface DirectJob {
  /** What an intent stores of it, as JSON. `undefined` if an intent cannot carry the job: it goes directly then. */
  readonly stored: unknown
  /** What the call returns for the job, by the id of its intent. */
  readonly answer: (id: string) => unknown
}

/** A call of an intercepted method. @internal */
export interface DirectCall {
  /** The names of its jobs. */
  readonly names: ReadonlyArray<string>
  /** Reads its jobs. It is not called if all of them go directly: what the engine makes of them is its own affair then. */
  readonly jobs: () => ReadonlyArray<DirectJob>
  /** Adds some of the jobs directly. Returns what the method returns for them. */
  readonly pass: (indices: ReadonlyArray<number>) => Promise<ReadonlyArray<unknown>>
  /** The result of the method, of those for its jobs. */
  readonly result: (ofJobs: ReadonlyArray<unknown>) => unknown
}

/** What {@link intercept} has to know of an engine. @internal */
export interface DirectEngine {
  readonly name: string
  /** What the user writes to add a job directly. */
  readonly direct: string
  readonly prefix: string
  /** Reads a call of each method. `undefined` if the call makes no sense: then the original method says what is wrong. */
  readonly methods: Readonly<
    Record<string, (originals: Originals, args: ReadonlyArray<any>) => DirectCall | undefined>
  >
  /** Adds the job of an intent, which may have been added before. `waited` is the time since the call in milliseconds. */
  readonly perform: (originals: Originals, stored: any, id: string, waited: number) => Promise<unknown>
}

/** The original methods of what is intercepted. Two copies of this package see each other's. */
const installed = globalValue(Symbol.for("effect-airlock/intercepted"), () => new WeakMap<object, Originals>())

/** The methods, as they were before they were intercepted. Works before, during and after an interception. @internal */
export const directly = (target: object, methods: ReadonlyArray<string>): Originals =>
  Object.fromEntries(methods.map((method) => [
    method,
    (...args) => (installed.get(target)?.[method] ?? methodOf(target, method)).apply(target, args)
  ]))

const methodOf = (target: object, name: string): Method => Reflect.get(target, name)

/** @internal */
export const intercept = (
  target: object,
  engine: DirectEngine,
  { names, outside = "pass", prefix = engine.prefix }: InterceptOptions = {}
): Effect.Effect<Interception, never, Airlock | EffectScope.Scope> =>
  Effect.gen(function*() {
    const airlock = yield* Airlock
    const scope = yield* Effect.scope
    if (installed.has(target)) {
      return yield* Effect.dieMessage(
        `This ${engine.name} object is intercepted already, and its calls would become intents twice. Intercept it once, at the start.`
      )
    }
    yield* claimPrefix(airlock, prefix)
    const runtime = yield* Effect.runtime()
    const originals = Object.fromEntries(
      Object.keys(engine.methods).map((method) => [
        method,
        methodOf(target, method).bind(target)
      ])
    )
    const tasks = makeTasks(engine, originals, prefix, scope)
    const warned = new Set<string>()

    const warnOnce = (key: string, warning: Effect.Effect<void>) => {
      if (!warned.has(key)) {
        warned.add(key)
        Runtime.runFork(runtime)(warning)
      }
    }

    const replacementOf = (method: string, read: DirectEngine["methods"][string]): Method => {
      const original = originals[method]!
      const replacement: Method = async (...args) => {
        const call = installed.get(target) === originals ? read(originals, args) : undefined
        const isChosen = call?.names.map((name) => names === undefined || names.includes(name)) ?? []
        if (call === undefined || !isChosen.includes(true)) {
          return original(...args)
        }
        const site = callSite(replacement)
        const chosen = call.names.filter((_, index) => isChosen[index])
        chosen.forEach((name) =>
          warnOnce(`${name} ${site}`, deprecated(engine, method, name, tasks.nameOf(name), outside, site))
        )
        const caller = callersRuntime()
        const place = caller === undefined ? outsideScopes : Runtime.runSync(caller)(placeOfCaller)
        if (outside === "pass" && place.isOutside) {
          if (place.settled !== undefined) {
            warnOnce(`late ${site}`, lateCall(engine, chosen[0]!, place.settled, site))
          }
          return original(...args)
        }
        if (caller === undefined) {
          throw withCallersStack(new NoScopeError({ task: tasks.nameOf(chosen[0]!), ...siteOf(site) }))
        }
        const enqueueJob = (name: string, { answer, stored }: DirectJob) =>
          Effect.withFiberRuntime<unknown>((fiber) =>
            tasks.get(currentOf(fiber)?.scope?.airlock ?? airlock, name).pipe(
              Effect.flatMap((task) => enqueue(task, stored, originOf(site))),
              Effect.map(answer)
            )
          )
        return addJobs(call, isChosen, caller, enqueueJob, site)
      }
      return replacement
    }

    yield* noteTurns
    yield* Effect.forEach(names ?? [], (name) => tasks.get(airlock, name), { discard: true })
    const restore = yield* Effect.acquireRelease(
      Effect.sync(() => {
        installed.set(target, originals)
        const replaced = Object.entries(engine.methods).map(([method, read]) =>
          replace(target, method, replacementOf(method, read))
        )
        return Effect.sync(() => {
          if (installed.get(target) === originals) {
            installed.delete(target)
            replaced.forEach((restore) => restore())
          }
        })
      }),
      (restore) => restore
    )
    return { uninstall: restore }
  })

/** The prefixes of the tasks of each Airlock. */
const claimed = globalValue(
  Symbol.for("effect-airlock/interceptedPrefixes"),
  () => new WeakMap<AirlockService, Set<string>>()
)

/** Two objects with one prefix would have two handlers for the tasks of both. */
const claimPrefix = (airlock: AirlockService, prefix: string): Effect.Effect<unknown, never, EffectScope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const prefixes = claimed.get(airlock) ?? new Set<string>()
      claimed.set(airlock, prefixes)
      if (prefixes.has(prefix)) {
        return Effect.dieMessage(
          `Another object is intercepted with the prefix "${prefix}". Give one of them another \`prefix\`.`
        )
      }
      return Effect.succeed(prefixes.add(prefix))
    }),
    (prefixes) => Effect.sync(() => prefixes.delete(prefix))
  )

/** Where a call stands. */
interface Place {
  readonly isOutside: boolean
  /** The name of the scope that has settled, or settles, if the call comes too late for it. */
  readonly settled: string | undefined
}

const outsideScopes: Place = { isOutside: true, settled: undefined }

const placeOfCaller: Effect.Effect<Place> = Effect.withFiberRuntime((fiber) => {
  const current = currentOf(fiber)
  const scope = current?.scope
  if (scope === undefined) {
    // A policy may not enqueue, so its call is not to pass.
    return Effect.succeed({ isOutside: current?.isPolicy !== true, settled: undefined })
  }
  const isOpen = scope.state === "open"
  // What began in a plan may add no job, also when the plan has ended.
  return Effect.succeed({ isOutside: !isOpen && !scope.planning, settled: isOpen ? undefined : scope.name })
})

/** Enqueues the chosen jobs of a call, and adds the others directly. */
const addJobs = async (
  { jobs: readJobs, names, pass, result }: DirectCall,
  isChosen: ReadonlyArray<boolean>,
  caller: Runtime.Runtime<never>,
  enqueueJob: (name: string, job: DirectJob) => Effect.Effect<unknown>,
  site: string | undefined
): Promise<unknown> => {
  const jobs = readJobs()
  const isEnqueued = jobs.map(({ stored }, index) => isChosen[index]! && stored !== undefined)
  const exit = await Runtime.runPromiseExit(caller)(
    Effect.forEach(
      [...jobs.keys()].filter((index) => isEnqueued[index]),
      (index) => enqueueJob(names[index]!, jobs[index]!)
    )
  )
  if (Exit.isFailure(exit)) {
    throw withSite(Cause.squash(exit.cause), site)
  }
  const passing = [...jobs.keys()].filter((index) => !isEnqueued[index])
  const enqueued = exit.value.values()
  const passed = (passing.length === 0 ? [] : await pass(passing)).values()
  return result(isEnqueued.map((isEnqueued) => (isEnqueued ? enqueued : passed).next().value))
}

/** The tasks of jobs, each with its handler from its first use on. */
const makeTasks = (engine: DirectEngine, originals: Originals, prefix: string, scope: EffectScope.Scope) => {
  const registered = new WeakMap<AirlockService, Map<string, AnyTask>>()
  const nameOf = (job: string) => `${prefix}/${job}`
  const add = (stored: unknown, { enqueuedAt, intentId }: HandlerContext) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.tryPromise({
        try: () => engine.perform(originals, stored, intentId, Math.max(0, now - enqueuedAt)),
        catch: (error) => error
      }))
  return {
    nameOf,
    get: (airlock: AirlockService, job: string): Effect.Effect<AnyTask> =>
      Effect.suspend(() => {
        const tasks = registered.get(airlock) ?? new Map<string, AnyTask>()
        registered.set(airlock, tasks)
        const known = tasks.get(job)
        if (known !== undefined) {
          return Effect.succeed(known)
        }
        const task: AnyTask = Object.freeze({ name: nameOf(job), payloadSchema: Schema.Unknown })
        return airlock.register({
          task,
          // It takes what the Schema of the task decodes.
          handler: add as Handler,
          batched: undefined,
          transactional: false,
          context: Context.empty()
        }).pipe(
          Effect.provideService(EffectScope.Scope, scope),
          Effect.map(() => {
            tasks.set(job, task)
            return task
          })
        )
      })
  }
}

/** Replaces a method of an object. Returns a function that restores it, unless other code has replaced it meanwhile. */
const replace = (target: object, name: string, replacement: Method): () => void => {
  const before = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, {
    value: replacement,
    configurable: true,
    enumerable: before?.enumerable ?? false,
    writable: true
  })
  return () => {
    if (methodOf(target, name) !== replacement) {
      return
    }
    if (before === undefined) {
      Reflect.deleteProperty(target, name)
    } else {
      Object.defineProperty(target, name, before)
    }
  }
}

const deprecated = (
  { direct, name }: DirectEngine,
  method: string,
  job: string,
  task: string,
  outside: "pass" | "fail",
  site: string | undefined
): Effect.Effect<void> =>
  Effect.logWarning(
    `Deprecated: "${job}" is added by a direct call of ${method}${site === undefined ? "" : ` ${site}`}. ` +
      `In a scope it is an intent of the task "${task}"; outside of one it ${
        outside === "pass" ? `goes to ${name} at once` : "is refused"
      }. ` +
      `Call Airlock.enqueue instead, or ${direct} if it has to go directly. This is logged once for each place.`
  ).pipe(Effect.annotateLogs({ "airlock.task": task, ...(site !== undefined && { "airlock.site": site }) }))

const lateCall = ({ name }: DirectEngine, job: string, scope: string, site: string | undefined): Effect.Effect<void> =>
  Effect.logWarning(
    `"${job}" was added when its scope "${scope}" had settled, so it went to ${name} at once, whatever became of the scope. ` +
      "Let the code of the scope await the code that adds it. This is logged once for each place."
  ).pipe(Effect.annotateLogs(site === undefined ? {} : { "airlock.site": site }))

const siteOf = (site: string | undefined) => site === undefined ? {} : { site }

/** An outbox stores origins of at most 255 characters. */
const originOf = (site: string | undefined): EnqueueOptions =>
  site === undefined || site.length > 255 ? {} : { origin: site }

/** An error of the enqueue names the call that was intercepted. */
const withSite = (error: unknown, site: string | undefined): unknown =>
  error instanceof Error && "site" in error && site !== undefined
    ? withCallersStack(Object.assign(error, { site }))
    : error
