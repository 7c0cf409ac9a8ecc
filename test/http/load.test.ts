/**
 * Many requests: none sees another's intents, and they leak neither memory nor fibers.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schema } from "effect"
import type { AirlockScope } from "effect-airlock"
import { Airlock, HttpMiddleware, Task } from "effect-airlock"
import type { IncomingMessage } from "node:http"
import { connect, type Socket } from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { serving } from "../support/http.js"
import { layer, left, note } from "../support/recorder.js"

type Router = HttpRouter.HttpRouter<unknown, Airlock.Airlock | AirlockScope>

const quiet = Logger.remove(Logger.defaultLogger)

/** Pseudo-random numbers between 0 and 1, the same in each run. */
const randomly = (seed: number) => () => {
  seed = (seed * 1_664_525 + 1_013_904_223) % 2 ** 32
  return seed / 2 ** 32
}

it.scopedLive(
  "1 000 concurrent requests with delays, nested scopes and forked fibers see only their own intents",
  () =>
    Effect.gen(function*() {
      const random = randomly(1)
      const delay = Effect.suspend(() => Effect.repeatN(Effect.yieldNow(), Math.floor(random() * 30)))
      const together = yield* Effect.makeLatch()
      let waiting = 0
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get(
          "/:n",
          Effect.gen(function*() {
            const { n } = yield* HttpRouter.params
            if (++waiting === 1000) {
              yield* together.open
            }
            yield* together.await
            yield* note(`${n} own`)
            yield* delay
            yield* Effect.zipRight(delay, note(`${n} nested`)).pipe(Airlock.scoped)
            yield* Effect.zipRight(note(`${n} failed`), Effect.fail("no")).pipe(Airlock.scoped, Effect.ignore)
            const fiber = yield* Effect.fork(Effect.zipRight(delay, note(`${n} forked`)))
            yield* Effect.all([Effect.zipRight(delay, note(`${n} left`)), Effect.zipRight(delay, note(`${n} right`))], {
              concurrency: 2
            })
            yield* Fiber.join(fiber)
            const intents = (yield* Airlock.intents).map(({ payload }) => (payload as { text: string }).text)
            const foreign = intents.filter((text) => !text.startsWith(`${n} `))
            return HttpServerResponse.empty({ status: foreign.length > 0 ? 500 : Number(n) % 2 === 0 ? 204 : 409 })
          })
        )
      )
      const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock))
      const numbers = Array.from({ length: 1000 }, (_, n) => n)
      const statuses = yield* Effect.promise(() =>
        Promise.all(numbers.map(async (n) => (await fetch(`${base}/${n}`)).status))
      )
      expect(statuses).toEqual(numbers.map((n) => n % 2 === 0 ? 204 : 409))
      const expected = numbers.filter((n) => n % 2 === 0).flatMap((n) =>
        ["own", "nested", "forked", "left", "right"].map((text) => `${n} ${text}`)
      )
      expect([...(yield* left)].sort()).toEqual(expected.sort())
    }).pipe(Effect.provide([layer(), quiet])),
  30_000
)

const Noop = Task.make("Noop", { payload: { n: Schema.Number } })

const collect = (): number => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as () => void
  gc()
  gc()
  return process.memoryUsage().heapUsed
}

it.scopedLive(
  "20 000 requests, some of them aborted or failed, leak no memory and no fibers",
  () =>
    Effect.gen(function*() {
      const enqueue = Airlock.enqueue(Noop, { n: 1 })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/ok", Effect.as(enqueue, HttpServerResponse.empty())),
        HttpRouter.get("/bad", Effect.as(enqueue, HttpServerResponse.empty({ status: 400 }))),
        HttpRouter.get("/fail", Effect.zipRight(enqueue, Effect.fail("no"))),
        HttpRouter.get("/die", Effect.zipRight(enqueue, Effect.die("no"))),
        HttpRouter.get("/race", Effect.as(Effect.race(enqueue, Effect.never), HttpServerResponse.empty())),
        HttpRouter.get(
          "/abort",
          Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ source }) =>
            Effect.zipRight(
              enqueue,
              // This is what a client that closes the connection does to the server's socket.
              Effect.zipRight(Effect.sync(() => (source as IncomingMessage).socket.destroy()), Effect.never)
            ))
        )
      )
      const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock))
      const port = Number(new URL(base).port)
      const paths = ["/ok", "/bad", "/ok", "/fail", "/ok", "/die", "/race", "/none"]
      const rejections: Array<unknown> = []
      const onRejection = (reason: unknown) => rejections.push(reason)
      process.on("unhandledRejection", onRejection)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.off("unhandledRejection", onRejection)))

      const run = (requests: number) =>
        Effect.promise(() =>
          new Promise<void>((resolve) => {
            let sent = 0
            let ended = 0
            const open = (): Socket => {
              const socket = connect(port, "127.0.0.1")
              const send = () => {
                if (sent === requests) {
                  socket.end()
                } else {
                  sent++
                  const path = sent % 20 === 0 ? "/abort" : paths[sent % paths.length]!
                  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
                }
              }
              socket.on("connect", send)
              socket.on("error", () => undefined)
              socket.on("data", (data) => {
                for (const _ of data.toString().matchAll(/HTTP\/1\.1 /g)) {
                  send()
                }
              })
              socket.on("close", () => sent < requests ? open() : ++ended === 16 && resolve())
              return socket
            }
            Array.from({ length: 16 }, open)
          })
        )
      const roots = Effect.map(Fiber.roots, (fibers) => [...fibers].length)

      yield* run(2_000)
      yield* run(8_000)
      const [heap, fibers] = [collect(), yield* roots]
      yield* run(10_000)
      const grown = collect() - heap
      expect(grown).toBeLessThan(2 * 1024 * 1024)
      expect((yield* roots) - fibers).toBeLessThanOrEqual(0)
      expect(rejections).toEqual([])
    }).pipe(Effect.provide([Noop.toLayer(() => Effect.void).pipe(Layer.provideMerge(Airlock.layer())), quiet])),
  60_000
)
