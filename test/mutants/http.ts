/** HTTP and RPC: when a request settles, and by what. */
import { inFile, type Mutant } from "./mutant.js"

export const http: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/http/request.ts", [
    {
      breaks: "I6: a request feeds the scope that its server was built in",
      symbol: "inScope",
      replace: "findScope(outer, (scope) => requestSourceOf(scope) === request.source) !== undefined",
      by: "true",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "I6: what a request enqueues after its response feeds the scope that its server was built in",
      symbol: "inScope",
      replace: "scope.outer === undefined && !isOpenedBy(fiber) ? enterForGood : enter",
      by: "enter",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: an app that code runs in its own fiber locks that code out of its scope",
      symbol: "inScope",
      replace: "!isOpenedBy(fiber)",
      by: "true",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "I6: a request feeds the scope of another request",
      symbol: "inScope",
      replace: "requestSourceOf(scope) === request.source",
      by: "requestSourceOf(scope) !== undefined",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: a scope that was opened for the request is not recognised",
      symbol: "inScope",
      replace: "requestSourceOf(scope) === request.source",
      by: "false",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: a request settles after the response was sent",
      symbol: "inScope",
      replace: "...hook",
      by: "",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: an interruptible app is taken for a route",
      symbol: "maySend",
      replace: "fiber.currentContext.unsafeMap.has(RouteContext.key)",
      by: "true",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: the status of a response does not decide",
      symbol: "exitByStatus",
      replace: "response.status < 400",
      by: "true",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: a failure on a route settles by the failure, not by its response",
      symbol: "inScope.settleByOutcome.onFailure",
      replace: "settleBefore(scope, options, request, response, cause)",
      by: "Effect.as(settle(scope, Exit.failCause(cause)), response)",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: a declared error of an API settles before it is encoded",
      symbol: "inScope",
      replace: `options.place === "api" && !Cause.isInterruptedOnly(cause)`,
      by: "false",
      tests: ["test/docs/http.test.ts"]
    },
    {
      breaks: "HTTP: a request answers with success though a durable executor did not keep its intents",
      symbol: "responseAfterFailure",
      replace: "isLost ? HttpServerResponse.empty({ status: 500 }) : response",
      by: "response",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: a failure that was answered with another response is still a failure",
      symbol: "inScope",
      replace: "answer === response ? Effect.failCause(cause) : Effect.succeed(answer)",
      by: "Effect.failCause(cause)",
      tests: ["test/HttpMiddleware.test.ts"]
    }
  ]),
  ...inFile("src/internal/http/responseHook.ts", [
    {
      breaks: "HTTP: of two middlewares at the server, the outer one settles first",
      symbol: "innermostFirst",
      replace: "handlers.reduceRight",
      by: "handlers.reduce",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "HTTP: the scopes of a request have a hook each, which the platform runs from the outside to the inside",
      symbol: "hookFor",
      replace: "handlersFor(fiber, source, scope.outer?.scope)",
      by: "undefined as Array<HttpApp.PreResponseHandler> | undefined",
      tests: ["test/HttpMiddleware.test.ts"]
    }
  ]),
  ...inFile("src/internal/http/body.ts", [
    {
      breaks: "HTTP: a body that breaks off dispatches its intents",
      symbol: "bodyScope",
      replace: "Exit.interrupt(fiber.id())",
      by: "Exit.void",
      tests: ["test/scenarios/streams.test.ts"]
    },
    {
      breaks: "HTTP: a body runs in the transaction of its request",
      symbol: "bodyScope",
      replace: "withoutTransaction(fiber.currentContext) as Context.Context<R>",
      by: "fiber.currentContext as Context.Context<R>",
      tests: ["test/HttpTransaction.test.ts"]
    }
  ]),
  ...inFile("src/HttpMiddleware.ts", [
    {
      breaks: "HTTP: an intent of a streamed body that could not leave is not logged",
      symbol: "airlockStream",
      replace: "Stream.tapErrorCause(logFlushError)",
      by: "(body) => body",
      tests: ["test/http/body.test.ts"]
    }
  ]),
  ...inFile("src/HttpTransaction.ts", [
    {
      breaks: "HTTP: the transaction of a refused request is committed",
      symbol: "perRequest",
      replace: "response.status < 400",
      by: "response.status < 500",
      tests: ["test/HttpTransaction.test.ts"]
    },
    {
      breaks: "HTTP: the transaction of a request is committed after the response was sent",
      symbol: "perRequest",
      replace: "hooked ? before : undefined",
      by: "undefined",
      tests: ["test/HttpTransaction.test.ts"]
    },
    {
      breaks: "HTTP: what is sent after the COMMIT still runs in the transaction",
      symbol: "perRequest",
      replace: "Effect.zipRight(Effect.orDie(endBy(response)), leaveTransaction(outer))",
      by: "Effect.orDie(endBy(response))",
      tests: ["test/HttpTransaction.test.ts"]
    },
    {
      breaks: "HTTP: an interrupted request does not give up the transaction that it waits for",
      symbol: "begin",
      replace: "Effect.onInterrupt(restore(Deferred.await(begun)), () => Fiber.interrupt(holder))",
      by: "restore(Deferred.await(begun))",
      tests: ["test/HttpTransaction.test.ts"]
    }
  ]),
  ...inFile("src/RpcMiddleware.ts", [
    {
      breaks: "RPC: a call's scope hands over to the scope around",
      symbol: "airlockCallWith",
      replace: "{ name: rpc._tag, ...options, independent: true }",
      by: "{ name: rpc._tag, ...options }",
      tests: ["test/RpcMiddleware.test.ts"]
    },
    {
      breaks: "RPC: a call answers with success though a durable executor did not keep its intents",
      symbol: "inCallScope",
      replace: "settlement.isLost && Exit.isSuccess(exit)",
      by: "settlement.isLost && Exit.isFailure(exit)",
      tests: ["test/RpcMiddleware.test.ts"]
    }
  ])
]
