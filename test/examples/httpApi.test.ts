/**
 * The example of `HttpApi`, called by a client that is derived from its API, and the table of docs/http-api.md.
 */
import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpClient,
  HttpClientRequest
} from "@effect/platform"
import type { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { Airlock, type AirlockScope, AirlockTest, HttpMiddleware } from "effect-airlock"
import { readFileSync } from "node:fs"
import * as Example from "../../examples/httpApi.js"
import { serving, status } from "../support/http.js"
import { pageExample } from "../support/pageExample.js"
import { Left, note } from "../support/recorder.js"
import { insertOrder, layer as sqlite, orders } from "../support/sqlite.js"

const quiet = Logger.remove(Logger.defaultLogger)

const leftTasks = Effect.map(AirlockTest.Recorded, (intents) => intents.map(({ task }) => task.name))

it.scopedLive("the example's receipt leaves with its order, and its report leaves although the request fails", () =>
  Effect.gen(function*() {
    const baseUrl = yield* serving(Example.Server)
    const orders = (token: string) =>
      HttpApiClient.make(Example.Shop, {
        baseUrl,
        transformClient: HttpClient.mapRequest(HttpClientRequest.bearerToken(token))
      }).pipe(Effect.map((client) => client.orders), Effect.provide(FetchHttpClient.layer))
    const ada = yield* orders("ada")
    expect(yield* ada.place({ payload: { item: "book" } })).toEqual({ id: 1, item: "book" })
    yield* AirlockTest.expectEnqueued(Example.SendReceipt, { orderId: 1, email: "ada@example.com" })

    expect(yield* Effect.flip(ada.place({ payload: { item: "unicorn" } }))).toMatchObject({ _tag: "OutOfStock" })
    expect(yield* ada.list()).toEqual([{ id: 1, item: "book" }])
    expect(yield* leftTasks).toEqual(["SendReceipt"])

    const bob = yield* orders("bob")
    expect(yield* Effect.flip(bob.place({ payload: { item: "book" } }))).toMatchObject({ _tag: "Unauthorized" })
    expect(yield* leftTasks).toEqual(["SendReceipt", "ReportIntruder"])
    expect((yield* ada.list()).length).toBe(1)
  }).pipe(
    Effect.provide(Example.data(":memory:").pipe(Layer.provideMerge(AirlockTest.layer()))),
    Effect.provide(quiet)
  ))

// ---------------------------------------------------------------- the table of the page

class Missing extends Schema.TaggedError<Missing>()("Missing", {}, HttpApiSchema.annotations({ status: 404 })) {}
class Moved extends Schema.TaggedError<Moved>()("Moved", {}, HttpApiSchema.annotations({ status: 303 })) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", {}, HttpApiSchema.annotations({ status: 401 })) {}

class Guard extends HttpApiMiddleware.Tag<Guard>()("test/Guard", { failure: Refused }) {}

const GuardLive = Layer.succeed(
  Guard,
  note("guard").pipe(Effect.zipRight(new Refused()), Effect.provide(Airlock.unchecked))
)

const endpoint = <const Name extends string>(name: Name) =>
  HttpApiEndpoint.post(name, `/${name}`).setPayload(Schema.Struct({})).addSuccess(Schema.NumberFromString)
    .addError(Missing).addError(Moved)

class Api extends HttpApi.make("api").add(
  HttpApiGroup.make("all")
    .add(endpoint("success")).add(endpoint("missing")).add(endpoint("moved")).add(endpoint("defect"))
    .add(endpoint("guarded").middleware(Guard)).add(endpoint("undecodable"))
    .add(endpoint("unencodable"))
) {}

/** A server of the API, whose handlers first run an Effect with their own name. */
const server = (
  first: (endpoint: string) => Effect.Effect<unknown, never, AirlockScope | SqlClient.SqlClient>,
  middleware: Layer.Layer<AirlockScope, never, Airlock.Airlock | SqlClient.SqlClient>
) => {
  const All = HttpApiBuilder.group(Api, "all", (handlers) => {
    const ends = <A, E>(name: string, end: Effect.Effect<A, E>) => () => Effect.zipRight(first(name), end)
    return handlers
      .handle("success", ends("success", Effect.succeed(1)))
      .handle("missing", ends("missing", new Missing()))
      .handle("moved", ends("moved", new Moved()))
      .handle("defect", ends("defect", Effect.die("no")))
      .handle("guarded", ends("guarded", Effect.succeed(1)))
      .handle("undecodable", ends("undecodable", Effect.succeed(1)))
      .handle("unencodable", ends("unencodable", Effect.succeed("no number" as unknown as number)))
  })
  return HttpApiBuilder.serve().pipe(
    Layer.provide(HttpApiBuilder.api(Api)),
    Layer.provide(All),
    Layer.provide(GuardLive),
    Layer.provide(middleware)
  )
}

const rows: Record<string, { readonly name: string, readonly body?: string }> = {
  "a success": { name: "success" },
  "a declared error whose status is 400 or above": { name: "missing" },
  "a declared error whose status is below 400": { name: "moved" },
  "a defect": { name: "defect" },
  "an error of the API's own middleware": { name: "guarded" },
  "a request that cannot be decoded": { name: "undecodable", body: "[" },
  "a success that cannot be encoded": { name: "unencodable" }
}

it.scopedLive("docs/http-api.md has the table of what leaves", () =>
  Effect.gen(function*() {
    const texts = yield* Left
    const base = yield* serving(server(note, HttpMiddleware.airlockApi))
    const seen: Array<ReadonlyArray<string>> = []
    for (const [row, { body = "{}", name }] of Object.entries(rows)) {
      texts.length = 0
      const answer = yield* status(base, `/${name}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body
      })
      seen.push([row, `${answer}`, texts.length > 0 ? "leave" : "do not leave"])
    }
    const page = readFileSync("docs/http-api.md", "utf8")
    const shown = [...page.matchAll(/^\| (.+?) +\| (\d+) +\| (leave|do not leave) /gm)]
    expect(shown.map(([, ...cells]) => cells)).toEqual(seen)
  }).pipe(Effect.provide([sqlite, quiet])))

it.scopedLive("a transaction for each request, as on the page, is rolled back by every error, and takes its intents along", () =>
  Effect.gen(function*() {
    const texts = yield* Left
    const { PerRequest } = yield* Effect.promise(() => pageExample("docs/http-api.md", "const PerRequest"))
    const perRequest = PerRequest as Layer.Layer<never, never, SqlClient.SqlClient>
    const base = yield* serving(server(
      (name) => Effect.zipRight(Effect.orDie(insertOrder(name)), note(name)),
      Layer.merge(HttpMiddleware.airlockApi, perRequest)
    ))
    for (const { body = "{}", name } of Object.values(rows)) {
      yield* status(base, `/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body })
    }
    expect([yield* orders, texts]).toEqual([["success"], ["success"]])
  }).pipe(Effect.provide([sqlite, quiet])))
