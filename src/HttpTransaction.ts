/**
 * Runs each HTTP request in a SQL transaction, which commits if the response is a success and rolls back if it is not.
 *
 * @since 0.1.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"
import { maySend } from "./internal/http/request.js"
import { hookFor, joinHook } from "./internal/http/responseHook.js"
import { protectedIn } from "./internal/idempotency/protectedRequest.js"
import { currentOf, enter } from "./internal/scope/currentScope.js"
import { isInterrupted } from "./internal/scope/fork.js"
import { frameOf } from "./internal/scope/frame.js"
import type { Scope } from "./internal/scope/scope.js"
import { transactionIn } from "./internal/scope/transactionTag.js"

/**
 * Runs each request in a transaction of the `SqlClient`. The transaction ends before the response is sent: it commits if the
 * status is below 400, and rolls back otherwise, or if the client has closed the connection. The middleware does not change the
 * response or the error of the app. A streamed body runs after the transaction, and not in it.
 *
 * Errors: if the transaction cannot begin or the database refuses the COMMIT, the request fails with that `SqlError`. If the
 * middleware is given to `HttpServer.serve`, it dies with the error of a refused COMMIT.
 *
 * With the client that `SqlTransaction.layer` decorates, the intents of the request leave after the COMMIT. The middleware can
 * be used wherever `HttpMiddleware.airlock` can, inside or outside of it.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { HttpMiddleware } from "effect-airlock"
 * import * as HttpTransaction from "effect-airlock/HttpTransaction"
 *
 * declare const router: HttpRouter.HttpRouter
 *
 * const Server = router.pipe(
 *   HttpRouter.use(HttpTransaction.perRequest),
 *   HttpServer.serve(HttpMiddleware.airlock)
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const perRequest = <E, R>(
  app: HttpApp.Default<E, R>
): HttpApp.Default<E | SqlError, R | SqlClient.SqlClient> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const outer = fiber.currentContext
    const hooked = maySend(fiber, runtimeFlags)
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(begin(Context.unsafeGet(outer, SqlClient.SqlClient), restore), (transaction) => {
        // If the client has closed the connection, the fiber is interrupted, and the transaction is rolled back.
        const endBy = (response: HttpServerResponse.HttpServerResponse) => {
          protectedIn(outer)?.answerWith(response)
          return transaction.end(response.status < 400 && !isInterrupted(fiber))
        }
        const before: HttpApp.PreResponseHandler = (_, response) =>
          transaction.ended
            ? Effect.succeed(response)
            : Effect.uninterruptible(
              Effect.as(Effect.zipRight(Effect.orDie(endBy(response)), leaveTransaction(outer)), response)
            )
        // The context is that of the request, with the transaction. So it has the services of `R`.
        const inside = Effect.provide(restore(app), transaction.context as Context.Context<R | HttpServerRequest>)
        return Effect.flatMap(
          Effect.exit(inTransaction(fiber, transaction.frame, hooked ? before : undefined, inside)),
          (exit) =>
            transaction.ended
              ? exit
              : Effect.flatMap(responseOf(exit), (response) => Effect.zipRight(afterwards(exit, endBy(response)), exit))
        )
      })
    )
  })

interface Transaction {
  /** The context inside the transaction. */
  readonly context: Context.Context<never>
  /** The scope of the transaction, if the client is decorated. */
  readonly frame: Scope | undefined
  readonly ended: boolean
  readonly end: (commit: boolean) => Effect.Effect<void, SqlError>
}

/**
 * Begins a transaction that another fiber can end. `withTransaction` ends a transaction when its Effect ends, and in
 * `HttpServer.serve` that Effect also sends the response, before the COMMIT. So here its Effect only waits.
 */
const begin = (
  client: SqlClient.SqlClient,
  restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Transaction, SqlError> =>
  Effect.suspend(() => {
    const begun = Deferred.unsafeMake<Pick<Transaction, "context" | "frame">, SqlError>(FiberId.none)
    const mayCommit = Deferred.unsafeMake<void>(FiberId.none)
    const waiting = client.withTransaction(Effect.withFiberRuntime((inside) => {
      const context = inside.currentContext
      const frame = frameOf(transactionIn(context), currentOf(inside))?.scope
      Deferred.unsafeDone(begun, Exit.succeed({ context, frame }))
      return Deferred.await(mayCommit)
    }))
    const reporting = Effect.onError(waiting, (cause) => Deferred.failCause(begun, cause))
    return Effect.flatMap(Effect.forkDaemon(Effect.interruptible(reporting)), (holder) =>
      Effect.map(
        Effect.onInterrupt(restore(Deferred.await(begun)), () => Fiber.interrupt(holder)),
        ({ context, frame }): Transaction => {
          let ended = false
          return {
            context,
            frame,
            get ended() {
              return ended
            },
            end: (commit) =>
              Effect.suspend(() => {
                ended = true
                return commit
                  ? Effect.flatMap(Deferred.succeed(mayCommit, void 0), () => Effect.flatten(Fiber.await(holder)))
                  : Effect.flatMap(Fiber.interrupt(holder), (exit) =>
                    Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause) ? exit : Effect.void)
              })
          }
        }
      ))
  })

/** Runs the app inside the scope of the transaction, if there is one. */
const inTransaction = <A, E, R>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  frame: Scope | undefined,
  before: HttpApp.PreResponseHandler | undefined,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (frame !== undefined) {
    enter(fiber, frame, ...before === undefined ? [] : hookFor(fiber, frame, before))
    return self
  }
  const { source } = Context.unsafeGet(fiber.currentContext as Context.Context<HttpServerRequest>, HttpServerRequest)
  return before === undefined || joinHook(fiber, source, before)
    ? self
    : Effect.zipRight(HttpApp.appendPreResponseHandler(before), self)
}

/** Removes the transaction from the context of the fiber, because the fiber may run a streamed body after the response. */
const leaveTransaction = (outer: Context.Context<never>): Effect.Effect<void> =>
  FiberRef.update(FiberRef.currentContext, (context) => {
    const services = new Map(context.unsafeMap)
    for (const { key } of [SqlClient.TransactionConnection, Tracer.ParentSpan]) {
      const service = outer.unsafeMap.get(key)
      if (service === undefined) {
        services.delete(key)
      } else {
        services.set(key, service)
      }
    }
    return Context.unsafeMake(services)
  })

const responseOf = <E>(
  exit: Exit.Exit<HttpServerResponse.HttpServerResponse, E>
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Exit.isSuccess(exit)
    ? Effect.succeed(exit.value)
    : Effect.map(HttpServerError.causeResponse(exit.cause), ([response]) => response)

/** Adds an error of the transaction's end to the cause of the app, and does not replace it. */
const afterwards = <E>(
  exit: Exit.Exit<unknown, E>,
  end: Effect.Effect<void, SqlError>
): Effect.Effect<void, E | SqlError> =>
  Exit.isSuccess(exit) ? end : Effect.mapErrorCause(end, (cause) => Cause.sequential(exit.cause, cause))
