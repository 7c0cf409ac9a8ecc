/**
 * One scope for each request, for hosts on Node that are not Effect. The examples of Express and Fastify share it. Copy
 * it into your application.
 */
import { Cause, Effect, Exit, FiberId, type ManagedRuntime, Runtime, Scope } from "effect"
import { Airlock, AirlockScope } from "effect-airlock"
import type { ServerResponse } from "node:http"

export interface RequestScope<R> {
  /** Runs an Effect in the scope of the request, and interrupts it if the client closes the connection. */
  readonly run: <A, E>(self: Effect.Effect<A, E, R | AirlockScope>) => Promise<A>
  /**
   * Settles the scope: below status 400 the intents leave, otherwise they are discarded. Await it before the response
   * is sent.
   */
  readonly settle: (status: number) => Promise<void>
}

export const openRequestScope = async <R, E>(
  runtime: ManagedRuntime.ManagedRuntime<R | Airlock.Airlock, E>,
  name: string,
  response: ServerResponse
): Promise<RequestScope<R | Airlock.Airlock>> => {
  const scope = Effect.runSync(Scope.make())
  // A second close does nothing. An intent that could not leave is logged, and the response does not change.
  const close = (exit: Exit.Exit<void, string>) =>
    Effect.catchAllCause(Scope.close(scope, exit), (cause) => Effect.logError("not all intents left", cause))
  const gone = new AbortController()
  // The client closed the connection, or the response was sent. If it was sent the scope has settled, and this does
  // nothing.
  response.once("close", () => {
    gone.abort()
    runtime.runFork(close(Exit.failCause(Cause.interrupt(FiberId.none))))
  })
  const here = await runtime.runPromise(
    Effect.runtime<R | Airlock.Airlock | AirlockScope>().pipe(
      Effect.provideServiceEffect(AirlockScope, Airlock.open({ name })),
      Scope.extend(scope)
    )
  )
  return {
    run: (self) => Runtime.runPromise(here)(self, { signal: gone.signal }),
    settle: (status) => runtime.runPromise(close(status < 400 ? Exit.void : Exit.fail(`status ${status}`)))
  }
}
