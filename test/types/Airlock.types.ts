/**
 * Code that must compile, and code that must not. `tsc` checks this file: an expected error that is missing is an
 * error.
 */
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  type HttpApp,
  HttpLayerRouter,
  HttpRouter,
  type HttpServer,
  HttpServer as Http,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { Rpc, RpcGroup } from "@effect/rpc"
import type { SqlClient } from "@effect/sql"
import { type ConfigError, Context, Effect, Layer, Schedule, Schema, Stream } from "effect"
import { Airlock, AirlockLive, AirlockScope, Executor, HttpMiddleware, Policy, Task } from "effect-airlock"
import type { AirlockError, Intent, ScopeOptions } from "effect-airlock"
import * as HttpTransaction from "effect-airlock/HttpTransaction"
import * as Outbox from "effect-airlock/Outbox"
import * as RpcMiddleware from "effect-airlock/RpcMiddleware"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A>() => <B>(value: B, ...same: Equals<A, B> extends true ? [] : [never]) => ({ value, same })

const Mail = Task.make("Mail", { payload: { to: Schema.String, at: Schema.optional(Schema.DateFromSelf) } })
const Whole = Task.make("Whole", { payload: Schema.Number })

class Service extends Context.Tag("Service")<Service, { readonly do: Effect.Effect<number, "oops"> }>() {}

const program = Effect.gen(function*() {
  const service = yield* Service
  yield* Airlock.enqueue(Mail, { to: "a" })
  return yield* service.do
})

// ---------------------------------------------------------------- enqueue

is<Effect.Effect<Intent.IntentId, never, AirlockScope>>()(Airlock.enqueue(Mail, { to: "a", at: new Date() }))
is<Effect.Effect<Intent.IntentId, never, AirlockScope>>()(Airlock.enqueue(Whole, 1, { queue: "mail" }))

// @ts-expect-error a field that is missing
Airlock.enqueue(Mail, {})
// @ts-expect-error a field of another type
Airlock.enqueue(Mail, { to: 1 })
// @ts-expect-error a field that is not there
Airlock.enqueue(Mail, { to: "a", subject: "b" })
// @ts-expect-error another payload
Airlock.enqueue(Whole, "1")
// @ts-expect-error an option that is not there
Airlock.enqueue(Whole, 1, { que: "mail" })

class Needed extends Context.Tag("Needed")<Needed, string>() {}
const needy = Schema.transformOrFail(Schema.String, Schema.String, {
  decode: (text) => Effect.as(Needed, text),
  encode: (text) => Effect.as(Needed, text)
})
// @ts-expect-error a payload whose Schema needs services
Task.make("Needy", { payload: { needy } })
// @ts-expect-error a payload that is such a Schema as a whole
Task.make("Needy", { payload: needy })

// ---------------------------------------------------------------- versions, retries and signals

const numbered = { payload: { to: Schema.Array(Schema.String) }, version: 2 }
Task.make("Numbered", { ...numbered, upcast: { 1: (old: { readonly to: string }) => ({ to: [old.to] }) } })
Task.make("Numbered", {
  ...numbered,
  upcast: {
    1: (old) => {
      // @ts-expect-error nothing says what an old payload is
      const { to } = old
      return { to: [to] }
    }
  }
})
// @ts-expect-error an upcast that is no function
Task.make("Numbered", { ...numbered, upcast: { 1: { to: [] } } })
// @ts-expect-error an upcast that returns nothing
Task.make("Numbered", { ...numbered, upcast: { 1: (old: { to: unknown }) => void (old.to = []) } })
// @ts-expect-error a version that is no number
Task.make("Numbered", { ...numbered, upcast: { one: () => ({ to: [] }) } })
// @ts-expect-error a function for two versions
Task.make("Numbered", { ...numbered, upcast: { 1: (old: unknown, other: unknown) => [old, other] } })

Task.make("Retried", {
  payload: Schema.Void,
  retry: {
    maxAttempts: 3,
    timeout: "1 minute",
    schedule: Schedule.whileInput(
      Schedule.spaced("1 second"),
      (error: Executor.DispatchReason) => error._tag !== "UnknownTaskError"
    )
  }
})
const ofTexts = Schedule.recurWhile((error: string) => error === "")
// @ts-expect-error a schedule for another error
Task.make("Retried", { payload: Schema.Void, retry: { schedule: ofTexts } })
const needyDelay = Schedule.addDelayEffect(Schedule.forever, () => Effect.as(Needed, "1 second"))
// @ts-expect-error a schedule that needs services
Task.make("Retried", { payload: Schema.Void, retry: { schedule: needyDelay } })
// @ts-expect-error an option that is not there
Task.make("Retried", { payload: Schema.Void, retry: { attempts: 3 } })

Whole.toLayer(() => Effect.void, { transactional: true })
// @ts-expect-error a batched handler acknowledges nothing in its transaction
Whole.toLayerBatched(() => Effect.void, { transactional: true })

const Signalling = Whole.toLayer((n) =>
  Effect.gen(function*() {
    if (n > 0) {
      yield* Outbox.retryAfter("1 minute")
    }
    return yield* n < 0 ? Outbox.discard("negative", { cause: n }) : Outbox.snooze(100)
  })
)
Signalling satisfies Layer.Layer<never, never, Airlock.Airlock>
const next = Outbox.retryAfter("1 minute") satisfies Effect.Effect<never, Outbox.RetryAfter>
Effect.catchTag(next, "RetryAfter", () => Effect.void) satisfies Effect.Effect<void>

// ---------------------------------------------------------------- no scope is a compile error

// @ts-expect-error AirlockScope is still required
Effect.runPromise(Airlock.enqueue(Whole, 1))
// @ts-expect-error Airlock is still required
Effect.runPromise(Airlock.enqueue(Whole, 1).pipe(Airlock.scoped))
// @ts-expect-error the live Layer gives no scope
Effect.runPromise(Airlock.enqueue(Whole, 1).pipe(Effect.provide(AirlockLive)))

Effect.runPromise(Airlock.enqueue(Whole, 1).pipe(Airlock.scoped, Effect.provide(AirlockLive)))

// ---------------------------------------------------------------- scoped removes the requirement, in both forms

type InScope = Effect.Effect<number, "oops" | AirlockError.FlushError<number>, Service | Airlock.Airlock>

is<InScope>()(program.pipe(Airlock.scoped))
is<InScope>()(Airlock.scoped(program))
is<InScope>()(program.pipe(Airlock.scoped({ policy: Policy.dropAll })))
is<InScope>()(program.pipe(Airlock.scoped({})))
is<Effect.Effect<void, AirlockError.FlushError<void>, Airlock.Airlock>>()(Effect.void.pipe(Airlock.scoped))

const viaFn = Effect.fn("viaFn")(function*(n: number) {
  yield* Airlock.enqueue(Whole, n)
  return n
}, Airlock.scoped)
is<Effect.Effect<number, AirlockError.FlushError<number>, Airlock.Airlock>>()(viaFn(1))

const viaFnWith = Effect.fn("viaFnWith")(function*(n: number) {
  yield* Airlock.enqueue(Whole, n)
  return n
}, Airlock.scoped({ name: "viaFnWith" }))
is<Effect.Effect<number, AirlockError.FlushError<number>, Airlock.Airlock>>()(viaFnWith(1))

// ---------------------------------------------------------------- the FlushError of a scope

type Result<E, R = never, A = number> = Effect.Effect<A, "oops" | E, Service | Airlock.Airlock | R>
declare const optionalHandler: { readonly onFlushError?: () => Effect.Effect<void, "handled"> }
// It has the type of the body's success.
is<Result<never>>()(
  program.pipe(Airlock.scoped, Effect.catchTag("FlushError", ({ exit }) => Effect.sandbox(exit).pipe(Effect.orDie)))
)
is<Result<never>>()(
  program.pipe(
    Airlock.scoped({ name: "named" }),
    Effect.catchTag("FlushError", ({ exit }) => Effect.sandbox(exit).pipe(Effect.orDie))
  )
)
// A FlushError of any success is a FlushError.
const anyFlush: AirlockError.FlushError = undefined as unknown as AirlockError.FlushError<number>
// @ts-expect-error but not the other way round
const numberFlush: AirlockError.FlushError<number> = anyFlush
export const flushes = [anyFlush, numberFlush]
// onFlushError replaces it.
is<Result<never>>()(program.pipe(Airlock.scoped({ onFlushError: (error) => Effect.log(error.failures) })))
is<Result<"handled">>()(program.pipe(Airlock.scoped({ onFlushError: () => Effect.fail("handled" as const) })))
is<Result<never, Needed>>()(program.pipe(Airlock.scoped({ onFlushError: () => Effect.asVoid(Needed) })))
is<Result<AirlockError.FlushError<number> | "handled">>()(program.pipe(Airlock.scoped(optionalHandler)))
// @ts-expect-error onFlushError must be an Effect
Airlock.scoped({ onFlushError: () => "handled" })

// @ts-expect-error an option that is not there
Airlock.scoped({ polcy: Policy.dropAll })
// @ts-expect-error an option that is not there, beside one that is
Airlock.scoped({ name: "migration", polcy: Policy.dropAll })
// @ts-expect-error an option that Airlock.open does not have
Airlock.open({ name: "migration", polcy: Policy.dropAll })
// @ts-expect-error an option that the middleware does not have
HttpMiddleware.airlockWith({ name: "api", shouldflush: () => true })

is<Effect.Effect<number, "oops", Service | Airlock.Airlock>>()(
  program.pipe(Effect.provideServiceEffect(AirlockScope, Airlock.open()), Effect.scoped)
)

// A policy can need services. The scope that it is given to requires them.
const policyNeeds = Policy.make({ name: "needs", allows: () => Effect.as(Service, true as const) })
is<Effect.Effect<void, AirlockError.FlushError<void>, Service | Airlock.Airlock>>()(
  Effect.void.pipe(Airlock.scoped({ policy: policyNeeds }))
)
type Needing<R> = Effect.Effect<void, AirlockError.FlushError<void>, R | Airlock.Airlock>
declare const optional: { readonly policy?: typeof policyNeeds }
declare const either: { readonly name: string } | { readonly policy: typeof policyNeeds }
declare const approving: { readonly approve?: () => Effect.Effect<boolean, never, Service> }
declare const widened: ScopeOptions
declare const needingNothing: ScopeOptions<never>
is<Needing<Service>>()(Effect.void.pipe(Airlock.scoped(optional)))
is<Needing<Service>>()(Effect.void.pipe(Airlock.scoped(either)))
is<Needing<Service>>()(Effect.void.pipe(Airlock.scoped(approving)))
is<Needing<unknown>>()(Effect.void.pipe(Airlock.scoped(widened)))
is<Needing<never>>()(Effect.void.pipe(Airlock.scoped(needingNothing)))
is<HttpApp.Default<never, Service | Airlock.Airlock>>()(
  HttpMiddleware.airlockWith(optional)(HttpServerResponse.empty())
)
// @ts-expect-error the policy of the options may need a service
Effect.runPromise(Effect.void.pipe(Airlock.scoped(optional), Effect.provide(AirlockLive)))
// @ts-expect-error the type of the options does not say what their policy needs
Effect.runPromise(Effect.void.pipe(Airlock.scoped(widened), Effect.provide(AirlockLive)))
is<Effect.Effect<void, never, Service>>()(Effect.void.pipe(Airlock.withPolicy(policyNeeds)))
is<Layer.Layer<Policy.CurrentPolicy, never, Service>>()(Policy.layer(policyNeeds))

// ---------------------------------------------------------------- unchecked removes the requirement without a scope

is<Effect.Effect<number, "oops", Service>>()(program.pipe(Effect.provide(Airlock.unchecked)))

// ---------------------------------------------------------------- handlers

is<Layer.Layer<never, never, Airlock.Airlock>>()(Mail.toLayer(({ to }) => Effect.log(to)))
// The Layer of a handler does not require AirlockScope or Scope, though the handler enqueues and opens resources.
is<Layer.Layer<never, never, Airlock.Airlock | Service>>()(
  Whole.toLayer((n) =>
    Effect.zipRight(Effect.acquireRelease(Service, () => Effect.void), Airlock.enqueue(Mail, { to: `${n}` }))
  )
)
// @ts-expect-error a handler of another payload
Whole.toLayer((text: string) => Effect.log(text))

// ---------------------------------------------------------------- middleware

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/", Effect.zipRight(Airlock.enqueue(Whole, 1), HttpServerResponse.empty()))
)
type Served = Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock>

is<Served>()(router.pipe(Http.serve(HttpMiddleware.airlock)))
is<Served>()(router.pipe(Http.serve(HttpMiddleware.airlockWith({ policy: Policy.dropAll }))))
is<Served>()(router.pipe(HttpRouter.use(HttpMiddleware.airlock), Http.serve()))
is<Served>()(router.pipe(HttpRouter.use(HttpMiddleware.airlock), Http.serve(HttpMiddleware.airlock)))
is<Served>()(router.pipe(Http.serve((app) => HttpMiddleware.logger(HttpMiddleware.airlock(app)))))

// ---------------------------------------------------------------- the Layer requires what the approval of all scopes needs

const approval = { approve: () => Effect.as(Service, true) }
is<Layer.Layer<Airlock.Airlock, never, Service>>()(Airlock.layer({ scope: approval }))
is<Layer.Layer<Airlock.Airlock, ConfigError.ConfigError, Service>>()(Airlock.layerConfig({ scope: approval }))
is<Layer.Layer<Airlock.Airlock>>()(Airlock.layer({ scope: { shouldFlush: () => true } }))

// A request has its own request, so the Layer of a middleware does not require it.
const byRequest = Policy.make({
  name: "r",
  allows: () => Effect.as(HttpServerRequest.HttpServerRequest, true as const)
})
is<Served>()(router.pipe(Http.serve(HttpMiddleware.airlockWith({ policy: byRequest }))))
is<Layer.Layer<AirlockScope, never, Airlock.Airlock>>()(HttpMiddleware.airlockApiWith({ policy: byRequest }))

// ---------------------------------------------------------------- layerConfig requires the services of its executors

const inProcess = Executor.inProcess()
const pooled = Effect.acquireRelease(Effect.as(Service, inProcess), () => Effect.void)
const refused = Effect.zipRight(Effect.fail("no connection" as const), Effect.succeed(inProcess))

is<Layer.Layer<Airlock.Airlock, ConfigError.ConfigError>>()(Airlock.layerConfig())
is<Layer.Layer<Airlock.Airlock, ConfigError.ConfigError>>()(
  Airlock.layerConfig({ prefix: "APP", executors: { inProcess } })
)
is<Layer.Layer<Airlock.Airlock, ConfigError.ConfigError | "no connection", Service>>()(
  Airlock.layerConfig({ executors: { inProcess, pooled, refused } })
)

// @ts-expect-error an Effect that makes something else
Airlock.layerConfig({ executors: { other: Effect.succeed(1) } })
// @ts-expect-error a policy whose services are not provided
Airlock.layerConfig({ policies: { needy: Policy.make({ name: "needy", allows: () => Effect.as(Service, true) }) } })
is<Served>()(
  router.pipe(Http.serve(HttpMiddleware.airlockWith({
    shouldFlush: (request, response, exit) =>
      request.method === "GET" && response.status < 400 && exit._tag === "Success",
    onFlushError: (error, response) => error.failures.length > 1 ? response : HttpServerResponse.empty({ status: 503 })
  })))
)
// @ts-expect-error onFlushError must return a response
HttpMiddleware.airlockWith({ onFlushError: () => 503 })

// ---------------------------------------------------------------- HttpLayerRouter

const layered = HttpLayerRouter.add("GET", "/", Effect.as(Airlock.enqueue(Whole, 1), HttpServerResponse.empty()))
is<Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock>>()(
  HttpLayerRouter.serve(Layer.provide(layered, HttpMiddleware.airlockRouter.layer))
)
is<Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock>>()(
  HttpLayerRouter.serve(Layer.provide(layered, HttpMiddleware.airlockRouterWith({ global: true })))
)
is<Layer.Layer<HttpLayerRouter.Request<"Requires", AirlockScope>, never, Airlock.Airlock | Service>>()(
  HttpMiddleware.airlockRouterWith({ policy: policyNeeds }).layer
)
// The middleware provides AirlockScope to its routes, and requires nothing of other middleware.
is<Layer.Layer<HttpLayerRouter.Request<"Requires", AirlockScope>, never, Airlock.Airlock>>()(
  HttpMiddleware.airlockRouter.combine(HttpLayerRouter.middleware(HttpMiddleware.cors())).layer
)
// @ts-expect-error an option that is not there
HttpMiddleware.airlockRouterWith({ globl: true })

// ---------------------------------------------------------------- HttpApiBuilder

class Shop extends HttpApi.make("shop").add(
  HttpApiGroup.make("orders").add(HttpApiEndpoint.post("create", "/orders").addSuccess(Schema.Number))
) {}
const Orders = HttpApiBuilder.group(
  Shop,
  "orders",
  (handlers) => handlers.handle("create", () => Effect.as(Airlock.enqueue(Whole, 1), 1))
)
is<Layer.Layer<HttpApiGroup.ApiGroup<"shop", "orders">, never, AirlockScope>>()(Orders)
is<Layer.Layer<HttpApi.Api, never, Airlock.Airlock>>()(
  HttpApiBuilder.api(Shop).pipe(Layer.provide(Orders), Layer.provide(HttpMiddleware.airlockApi))
)
is<Layer.Layer<AirlockScope, never, Airlock.Airlock | Service>>()(
  HttpMiddleware.airlockApiWith({ policy: policyNeeds })
)

// ---------------------------------------------------------------- streamed bodies

const lines = Stream.fromEffect(Effect.as(Effect.zipRight(Service, Airlock.enqueue(Whole, 1)), "line"))
is<Effect.Effect<Stream.Stream<string, AirlockError.FlushError>, never, Service | AirlockScope>>()(
  HttpMiddleware.airlockStream(lines)
)
is<Effect.Effect<Stream.Stream<string, AirlockError.FlushError>, never, Service | AirlockScope>>()(
  HttpMiddleware.airlockStream(lines, { policy: Policy.dropAll })
)
// @ts-expect-error an option that is not there
HttpMiddleware.airlockStream(lines, { polcy: Policy.dropAll })

// ---------------------------------------------------------------- streams

declare const failing: Stream.Stream<number, "oops", Service | AirlockScope>
type StreamInScope<R> = Stream.Stream<number, "oops" | AirlockError.FlushError, R | Airlock.Airlock>
is<StreamInScope<Service>>()(failing.pipe(Airlock.scopedStream))
is<StreamInScope<Service>>()(Airlock.scopedStream(failing))
is<StreamInScope<Service>>()(failing.pipe(Airlock.scopedStream({ name: "import" })))
is<StreamInScope<Service | Needed>>()(
  failing.pipe(Airlock.scopedStream({ approve: () => Effect.as(Needed, true) }))
)
// @ts-expect-error an option that is not there
Airlock.scopedStream({ polcy: Policy.dropAll })

// ---------------------------------------------------------------- RPC

class Calls extends RpcGroup.make(Rpc.make("Create")).middleware(RpcMiddleware.AirlockCall) {}
const Handlers = Calls.toLayer({ Create: () => Effect.asVoid(Airlock.enqueue(Whole, 1)) })
is<Layer.Layer<Rpc.ToHandler<RpcGroup.Rpcs<typeof Calls>>>>()(Handlers)
is<Layer.Layer<RpcMiddleware.AirlockCall, never, Airlock.Airlock>>()(RpcMiddleware.airlockCall)
is<Layer.Layer<RpcMiddleware.AirlockCall, never, Airlock.Airlock | Service>>()(
  RpcMiddleware.airlockCallWith({ policy: policyNeeds })
)

// ---------------------------------------------------------------- one transaction a request

is<Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock | SqlClient.SqlClient>>()(
  router.pipe(HttpRouter.use(HttpTransaction.perRequest), Http.serve(HttpMiddleware.airlock))
)
