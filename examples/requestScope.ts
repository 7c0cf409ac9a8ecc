/**
 * A scope a request, for hosts on Node that are not Effect: what the Express and the Fastify example share. Copy it.
 */
import { Cause, Effect, Exit, FiberId, type ManagedRuntime, Runtime, Scope } from "effect"
import { Airlock, AirlockScope } from "effect-airlock"
import type { ServerResponse } from "node:http"

export interface RequestScope<R> {
  /** Runs an Effect in the scope of the request. It is interrupted when the client leaves. */
  readonly run: <A, E>(self: Effect.Effect<A, E, R | AirlockScope>) => Promise<A>
  /** To be awaited before the response is sent: below 400 the intents leave, else they are discarded. */
  readonly settle: (status: number) => Promise<void>
}

export const openRequestScope = async <R, E>(
  runtime: ManagedRuntime.ManagedRuntime<R | Airlock.Airlock, E>,
  name: string,
  response: ServerResponse
): Promise<RequestScope<R | Airlock.Airlock>> => {
  const scope = Effect.runSync(Scope.make())
  // Whoever comes second closes nothing. An intent that could not leave is reported, and the answer stands.
  const close = (exit: Exit.Exit<void, string>) =>
    Effect.catchAllCause(Scope.close(scope, exit), (cause) => Effect.logError("not all intents left", cause))
  const gone = new AbortController()
  // The client has left, or has its answer: then the scope has settled, and this does nothing to it.
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
