/**
 * What an enqueue for an outbox pays to check that JSON keeps its payload. A Schema whose AST shows that is not checked.
 */
import { Effect, Schema } from "effect"
import { encodeOrIssues } from "../../src/internal/support/payload.js"
import { report, rounds } from "./rounds.js"

const count = 100_000

const small = { orderId: 1, email: "a@b.c" }
const large = {
  orders: Array.from({ length: 20 }, (_, n) => ({ id: n, email: "a@b.c", lines: [{ sku: "a", price: 1.5 }] }))
}

const tasks = {
  small: { name: "small", payloadSchema: Schema.Struct({ orderId: Schema.Number, email: Schema.String }) },
  large: {
    name: "large",
    payloadSchema: Schema.Struct({
      orders: Schema.Array(Schema.Struct({
        id: Schema.Number,
        email: Schema.String,
        lines: Schema.Array(Schema.Struct({ sku: Schema.String, price: Schema.Number }))
      }))
    })
  }
}

const encoding = (task: keyof typeof tasks, payload: unknown, times: number, isStored: boolean) =>
  Effect.sync(() => {
    for (let i = 0; i < times; i++) {
      encodeOrIssues(tasks[task], payload, isStored)
    }
  })

export const payload: Effect.Effect<void> = Effect.gen(function*() {
  const times = yield* rounds({
    small: encoding("small", small, count, false),
    smallChecked: encoding("small", small, count, true),
    large: encoding("large", large, count / 20, false),
    largeChecked: encoding("large", large, count / 20, true)
  }, { rounds: 15, warmup: 5 })
  report(
    "to encode a payload of 2 fields and check it, of encoding alone",
    times["smallChecked"]! / times["small"]!,
    "no bar"
  )
  report(
    "to encode a payload of 100 fields and check it, of encoding alone",
    times["largeChecked"]! / times["large"]!,
    "no bar"
  )
  const nanos = (name: string, perRound: number) => ((times[name]! / perRound) * 1e6).toFixed(0)
  process.stdout.write(
    `  (2 fields: ${nanos("small", count)} ns, checked ${nanos("smallChecked", count)} ns; ` +
      `100 fields: ${nanos("large", count / 20)} ns, checked ${nanos("largeChecked", count / 20)} ns)\n`
  )
})
