/**
 * Batched requests. After such a request Effect continues the program in another fiber.
 */
import { Effect, Request, RequestResolver } from "effect"

interface Get extends Request.Request<number> {
  readonly _tag: "Get"
  readonly id: number
}

const Get = Request.tagged<Get>("Get")

const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<Get>) =>
  Effect.forEach(requests, (request) => Request.succeed(request, request.id), { discard: true })
)

export const get = (id: number) => Effect.request(Get({ id }), resolver)

/** Runs an Effect for each id concurrently, with all requests in one batch. */
export const batched = <E, R>(ids: ReadonlyArray<number>, self: (id: number) => Effect.Effect<unknown, E, R>) =>
  Effect.forEach(ids, self, { batching: true, concurrency: ids.length, discard: true })
