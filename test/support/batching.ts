/**
 * Batched requests. After such a request Effect continues the program in another fiber.
 */
import { Effect, Request, RequestResolver } from "effect"

export interface Get extends Request.Request<number> {
  readonly _tag: "Get"
  readonly id: number
}

const Get = Request.tagged<Get>("Get")

/** A resolver that runs an Effect with the ids of each batch before it answers. */
export const resolving = <R>(self: (ids: ReadonlyArray<number>) => Effect.Effect<unknown, never, R>) =>
  RequestResolver.makeBatched((requests: ReadonlyArray<Get>) =>
    Effect.zipRight(
      self(requests.map(({ id }) => id)),
      Effect.forEach(requests, (request) => Request.succeed(request, request.id), { discard: true })
    )
  )

export const getBy = <R>(id: number, resolver: RequestResolver.RequestResolver<Get, R>) =>
  Effect.request(Get({ id }), RequestResolver.contextFromEffect(resolver))

const resolver = resolving(() => Effect.void)

export const get = (id: number) => getBy(id, resolver)

/** Runs an Effect for each id concurrently, with all requests in one batch. */
export const batched = <E, R>(ids: ReadonlyArray<number>, self: (id: number) => Effect.Effect<unknown, E, R>) =>
  Effect.forEach(ids, self, { batching: true, concurrency: ids.length, discard: true })
