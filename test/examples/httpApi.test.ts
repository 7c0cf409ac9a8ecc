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
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { Airlock, AirlockTest, HttpMiddleware } from "effect-airlock"
import { readFileSync } from "node:fs"
import * as Example from "../../examples/httpApi.js"
import { serving, status } from "../support/http.js"
import { layer, Left, note } from "../support/recorder.js"

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

const All = HttpApiBuilder.group(Api, "all", (handlers) => {
  const noted = <A, E>(end: Effect.Effect<A, E>) => () => Effect.zipRight(note("handler"), end)
  return handlers
    .handle("success", noted(Effect.succeed(1)))
    .handle("missing", noted(new Missing()))
    .handle("moved", noted(new Moved()))
    .handle("defect", noted(Effect.die("no")))
    .handle("guarded", noted(Effect.succeed(1)))
    .handle("undecodable", noted(Effect.succeed(1)))
    .handle("unencodable", noted(Effect.succeed("no number" as unknown as number)))
})

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
    const base = yield* serving(
      HttpApiBuilder.serve().pipe(
        Layer.provide(HttpApiBuilder.api(Api)),
        Layer.provide(All),
        Layer.provide(GuardLive),
        Layer.provide(HttpMiddleware.airlockApi)
      )
    )
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
  }).pipe(Effect.provide([layer(), quiet])))
