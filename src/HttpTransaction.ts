/**
 * One SQL transaction a request: what its handler did to the database holds if the answer is a success, and is rolled
 * back if it is not.
 *
 * @since 0.1.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
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
import { enter, isInterrupted, positionOf } from "./internal/position.js"
import { hookFor, maySend } from "./internal/request.js"
import type { Scope } from "./internal/scope.js"
import { frameOf, transactionIn } from "./internal/transactionConnection.js"

/**
 * Runs each request in a transaction of the `SqlClient`. It commits before the response is sent if the status is below 400,
 * and rolls back otherwise; response and error pass through unchanged. Where the database refuses the COMMIT the request
 * fails with that `SqlError`.
 *
 * It needs the client that `SqlTransaction.layer` decorates: then what the request enqueues leaves after the COMMIT. It can
 * stand wherever `HttpMiddleware.airlock` can, inside it or around it.
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
    const around = fiber.currentContext
    const hooked = maySend(fiber, runtimeFlags)
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(begin(Context.unsafeGet(around, SqlClient.SqlClient), restore), (transaction) => {
        // What the client did not wait for has no result: it is undone as a whole.
        const endBy = ({ status }: HttpServerResponse.HttpServerResponse) =>
          transaction.end(status < 400 && !isInterrupted(fiber))
        const before: HttpApp.PreResponseHandler = (_, response) =>
          transaction.ended
            ? Effect.succeed(response)
            : Effect.uninterruptible(Effect.as(Effect.zipRight(Effect.orDie(endBy(response)), leave(around)), response))
        // It is the context of the request, and so that of `R`, with the transaction in it.
        const inside = Effect.provide(restore(app), transaction.context as Context.Context<R | HttpServerRequest>)
        return Effect.flatMap(
          Effect.exit(stand(fiber, transaction.frame, hooked ? before : undefined, inside)),
          (exit) =>
            transaction.ended
              ? exit
              : Effect.flatMap(responseOf(exit), (response) => Effect.zipRight(afterwards(exit, endBy(response)), exit))
        )
      })
    )
  })

interface Transaction {
  /** The context inside it. */
  readonly context: Context.Context<never>
  /** Its scope, if the client is decorated. */
  readonly frame: Scope | undefined
  readonly ended: boolean
  readonly end: (commit: boolean) => Effect.Effect<void, SqlError>
}

/**
 * Begins a transaction that can be ended from another fiber. `withTransaction` ends one with the Effect that it is given;
 * given to `HttpServer.serve`, that Effect would send the response before the COMMIT.
 */
const begin = (
  client: SqlClient.SqlClient,
  restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Transaction, SqlError> =>
  Effect.suspend(() => {
    const begun = Deferred.unsafeMake<Pick<Transaction, "context" | "frame">, SqlError>(FiberId.none)
    const commit = Deferred.unsafeMake<void>(FiberId.none)
    const held = client.withTransaction(Effect.withFiberRuntime((inside) => {
      const context = inside.currentContext
      const frame = frameOf(transactionIn(context), positionOf(inside))?.scope
      Deferred.unsafeDone(begun, Exit.succeed({ context, frame }))
      return Deferred.await(commit)
    }))
    const told = Effect.onError(held, (cause) => Deferred.failCause(begun, cause))
    return Effect.flatMap(Effect.forkDaemon(Effect.interruptible(told)), (holder) =>
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
            end: (well) =>
              Effect.suspend(() => {
                ended = true
                return well
                  ? Effect.flatMap(Deferred.succeed(commit, void 0), () => Effect.flatten(Fiber.await(holder)))
                  : Effect.flatMap(Fiber.interrupt(holder), (exit) =>
                    Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause) ? exit : Effect.void)
              })
          }
        }
      ))
  })

/** Goes on inside the scope of the transaction, if there is one. */
const stand = <A, E, R>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  frame: Scope | undefined,
  before: HttpApp.PreResponseHandler | undefined,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (frame !== undefined) {
    enter(fiber, frame, ...before === undefined ? [] : hookFor(fiber, frame, before))
    return self
  }
  return before === undefined ? self : Effect.zipRight(HttpApp.appendPreResponseHandler(before), self)
}

/** What runs in the fiber from now on, such as a streamed body, is no longer in the transaction. */
const leave = (around: Context.Context<never>): Effect.Effect<void> =>
  FiberRef.update(FiberRef.currentContext, (context) => {
    const services = new Map(context.unsafeMap)
    for (const { key } of [SqlClient.TransactionConnection, Tracer.ParentSpan]) {
      const service = around.unsafeMap.get(key)
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

/** What goes wrong at the end comes after what the app had ended in, and hides nothing of it. */
const afterwards = <E>(
  exit: Exit.Exit<unknown, E>,
  end: Effect.Effect<void, SqlError>
): Effect.Effect<void, E | SqlError> =>
  Exit.isSuccess(exit) ? end : Effect.mapErrorCause(end, (cause) => Cause.sequential(exit.cause, cause))
