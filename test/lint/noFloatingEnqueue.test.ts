import { testRule } from "./ruleTester.js"

const inGen = (body: string): string => `const program = Effect.gen(function*() { ${body} })`

testRule("no-floating-enqueue", {
  valid: [
    { name: "yielded", code: inGen("yield* Airlock.enqueue(Mail, 1)") },
    { name: "yielded and named", code: inGen("const id = yield* Airlock.enqueue(Mail, 1)") },
    { name: "yielded in a branch", code: inGen("if (ok) yield* Airlock.enqueue(Mail, 1)") },
    { name: "yielded behind a condition", code: inGen("ok && (yield* Airlock.enqueue(Mail, 1))") },
    { name: "returned by yield*", code: inGen("return yield* Airlock.enqueue(Mail, 1)") },
    { name: "returned by a function", code: "export const send = (n) => Airlock.enqueue(Mail, n)" },
    { name: "returned by a body", code: "export function send(n) { return Airlock.enqueue(Mail, n) }" },
    { name: "assigned", code: "const send = Airlock.enqueue(Mail, 1)" },
    { name: "assigned to a property", code: "service.send = Airlock.enqueue(Mail, 1)" },
    { name: "passed to a function that nobody knows", code: "run(Airlock.enqueue(Mail, 1))" },
    { name: "piped into a run", code: "Airlock.enqueue(Mail, 1).pipe(Airlock.scoped, Effect.runPromise)" },
    { name: "piped into a function that nobody knows", code: "Airlock.enqueue(Mail, 1).pipe(Airlock.scoped, runMain)" },
    { name: "run by the function pipe", code: "pipe(Airlock.enqueue(Mail, 1), Airlock.scoped, Effect.runFork)" },
    { name: "run", code: "Effect.runFork(Airlock.scoped(Airlock.enqueue(Mail, 1)))" },
    { name: "run by a runtime", code: "runtime.runFork(Airlock.enqueue(Mail, 1))" },
    {
      name: "run as part of a generator",
      code: `Effect.runPromise(${inGen("yield* Airlock.enqueue(Mail, 1)").slice(16)})`
    },
    {
      name: "in a callback of an operator",
      code: inGen("yield* save.pipe(Effect.tap(() => Airlock.enqueue(Mail, 1)))")
    },
    { name: "in Effect.forEach", code: inGen("yield* Effect.forEach(items, (n) => Airlock.enqueue(Mail, n))") },
    { name: "mapped for Effect.all", code: inGen("yield* Effect.all(items.map((n) => Airlock.enqueue(Mail, n)))") },
    { name: "mapped and kept", code: "const all = items.map((n) => Airlock.enqueue(Mail, n))" },
    { name: "a route of a test", code: "it.effect(\"sends\", () => Airlock.enqueue(Mail, 1).pipe(Airlock.scoped))" },
    { name: "a promise that goes on", code: "save().then(() => Airlock.enqueue(Mail, 1)).then(Effect.runPromise)" },
    {
      name: "a promise that is returned",
      code: "export const send = () => save().then(() => Airlock.enqueue(Mail, 1))"
    },
    { name: "in Effect.suspend", code: inGen("yield* Effect.suspend(() => Airlock.enqueue(Mail, 1))") },
    {
      name: "kept by Effect.sync and named",
      code: inGen("const send = yield* Effect.sync(() => Airlock.enqueue(Mail, 1))")
    },
    {
      name: "kept by Effect.map and flattened",
      code: inGen("yield* save.pipe(Effect.map(() => Airlock.enqueue(Mail, 1)), Effect.flatten)")
    },
    { name: "returned and flattened", code: `${inGen("return Airlock.enqueue(Mail, 1)")}.pipe(Effect.flatten)` },
    {
      name: "a helper whose result is yielded",
      code: `const send = (n) => Airlock.enqueue(Mail, n)\n${inGen("yield* send(1)")}`
    },
    { name: "run by Effect.as", code: inGen("yield* Effect.as(Airlock.enqueue(Mail, 1), true)") },
    { name: "run by Effect.map", code: inGen("yield* Effect.map(Airlock.enqueue(Mail, 1), (id) => ids.add(id))") },
    { name: "run by Effect.map in a pipe", code: inGen("yield* Airlock.enqueue(Mail, 1).pipe(Effect.map(note))") },
    {
      name: "a service whose methods enqueue",
      code: inGen("return { send: (n) => Airlock.enqueue(Mail, n), all: [Airlock.enqueue(Mail, 1)] }")
    },
    { name: "a list of Effects", code: inGen("const all = items.map((n) => Airlock.enqueue(Mail, n)); return all") },
    {
      name: "an Effect that is a service",
      code: `const Live = Layer.effect(Send, ${inGen("return Airlock.enqueue(Mail, 1)").slice(16)})`
    },
    {
      name: "a callback that is not the first argument",
      code: "routes.map(\"/mail\", () => Airlock.enqueue(Mail, 1))"
    },
    { name: "a variable that changes", code: "let send = Airlock.enqueue\nsend = other\nsend(Mail, 1)" },
    { name: "another enqueue", bare: true, code: "import { Airlock } from \"./airlock.js\"\nAirlock.enqueue(1)" },
    { name: "no import", bare: true, code: "Airlock.enqueue(Mail, 1)" },
    { name: "a shadowed import", code: "const send = (Airlock) => { Airlock.enqueue(Mail, 1) }" },
    { name: "another function of Airlock", code: "Task.make(\"Other\", { payload: {} })" }
  ],
  invalid: [
    {
      name: "a statement",
      code: "Airlock.enqueue(Mail, 1)",
      errors: [{ messageId: "dropped", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "a statement in a generator",
      code: inGen("Airlock.enqueue(Mail, 1)"),
      errors: [{
        messageId: "dropped",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{ messageId: "addYield", output: inGen("yield* Airlock.enqueue(Mail, 1)") }]
      }]
    },
    {
      name: "a statement in a generator of Effect.fn",
      code: "const send = Effect.fn(\"send\")(function*() { Airlock.enqueue(Mail, 1) })",
      errors: [{
        messageId: "dropped",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addYield",
          output: "const send = Effect.fn(\"send\")(function*() { yield* Airlock.enqueue(Mail, 1) })"
        }]
      }]
    },
    {
      name: "piped, and a statement",
      code: inGen("Airlock.enqueue(Mail, 1).pipe(Effect.asVoid)"),
      errors: [{
        messageId: "dropped",
        at: "Airlock.enqueue(Mail, 1).pipe(Effect.asVoid)",
        suggestions: [{ messageId: "addYield", output: inGen("yield* Airlock.enqueue(Mail, 1).pipe(Effect.asVoid)") }]
      }]
    },
    {
      name: "void",
      code: inGen("void Airlock.enqueue(Mail, 1)"),
      errors: [{
        messageId: "dropped",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{ messageId: "addYield", output: inGen("yield* Airlock.enqueue(Mail, 1)") }]
      }]
    },
    {
      name: "awaited",
      code: "const send = async () => { await Airlock.enqueue(Mail, 1) }",
      errors: [{ messageId: "awaited", at: "await Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "behind a condition",
      code: inGen("ok && Airlock.enqueue(Mail, 1)"),
      errors: [{ messageId: "dropped", at: "ok && Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "in front of &&",
      code: inGen("yield* (Airlock.enqueue(Mail, 1) && Effect.void)"),
      errors: [{ messageId: "dropped", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "in a sequence",
      code: inGen("yield* (Airlock.enqueue(Mail, 1), Effect.void)"),
      errors: [{ messageId: "dropped", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "in a loop's head",
      code: "for (;; Airlock.enqueue(Mail, 1)) {}",
      errors: [{ messageId: "dropped", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "in the body of an operator's callback",
      code: "const program = save.pipe(Effect.tap(() => { Airlock.enqueue(Mail, 1) }))",
      errors: [{
        messageId: "dropped",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addReturn",
          output: "const program = save.pipe(Effect.tap(() => { return Airlock.enqueue(Mail, 1) }))"
        }]
      }]
    },
    {
      name: "in the middle of the body of a callback, where return would be wrong",
      code: "const program = save.pipe(Effect.tap(() => { Airlock.enqueue(Mail, 1); return other }))",
      errors: [{ messageId: "dropped", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "a callback of forEach",
      code: inGen("items.forEach((n) => Airlock.enqueue(Mail, n))"),
      errors: [{
        messageId: "callback",
        at: "Airlock.enqueue(Mail, n)",
        suggestions: [{
          messageId: "useForEach",
          output: inGen("yield* Effect.forEach(items, (n) => Airlock.enqueue(Mail, n), { discard: true })")
        }]
      }]
    },
    {
      name: "a callback of map whose result is dropped",
      code: inGen("items.map((n) => { return Airlock.enqueue(Mail, n) })"),
      errors: [{
        messageId: "callback",
        at: "Airlock.enqueue(Mail, n)",
        suggestions: [{
          messageId: "useForEach",
          output: inGen("yield* Effect.forEach(items, (n) => { return Airlock.enqueue(Mail, n) }, { discard: true })")
        }]
      }]
    },
    {
      name: "Promise.all of Effects",
      code: "const send = async () => { await Promise.all(items.map((n) => Airlock.enqueue(Mail, n))) }",
      errors: [{ messageId: "callback", at: "Airlock.enqueue(Mail, n)" }]
    },
    {
      name: "a callback of then",
      code: "save().then(() => Airlock.enqueue(Mail, 1)).catch(() => {})",
      errors: [{ messageId: "callback", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "a timer",
      code: "const timer = setTimeout(() => Airlock.enqueue(Mail, 1), 1000)",
      errors: [{ messageId: "callback", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "a generator that nothing runs",
      code: "Effect.gen(function*() { yield* Airlock.enqueue(Mail, 1) })",
      errors: [{ messageId: "dropped", at: "Effect.gen(function*() { yield* Airlock.enqueue(Mail, 1) })" }]
    },
    {
      name: "two enqueues of one generator that nothing runs",
      code: "Effect.gen(function*() { yield* Airlock.enqueue(Mail, 1); yield* Airlock.enqueue(Mail, 2) })",
      errors: [{
        messageId: "dropped",
        at: "Effect.gen(function*() { yield* Airlock.enqueue(Mail, 1); yield* Airlock.enqueue(Mail, 2) })"
      }]
    },
    {
      name: "a program that nothing runs",
      code: "pipe(Airlock.enqueue(Mail, 1), Airlock.scoped, Effect.provide(Live))",
      errors: [{ messageId: "dropped", at: "pipe(Airlock.enqueue(Mail, 1), Airlock.scoped, Effect.provide(Live))" }]
    },
    {
      name: "a pipe with the enqueue in a callback",
      code: inGen("save.pipe(Effect.tap(() => Airlock.enqueue(Mail, 1)))"),
      errors: [{
        messageId: "dropped",
        at: "save.pipe(Effect.tap(() => Airlock.enqueue(Mail, 1)))",
        suggestions: [{
          messageId: "addYield",
          output: inGen("yield* save.pipe(Effect.tap(() => Airlock.enqueue(Mail, 1)))")
        }]
      }]
    },
    {
      name: "returned by a generator",
      code: inGen("return Airlock.enqueue(Mail, 1)"),
      errors: [{
        messageId: "returned",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{ messageId: "addYield", output: inGen("return yield* Airlock.enqueue(Mail, 1)") }]
      }]
    },
    {
      name: "kept by Effect.sync",
      code: inGen("yield* Effect.sync(() => Airlock.enqueue(Mail, 1))"),
      errors: [{
        messageId: "nested",
        data: { by: "sync" },
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{ messageId: "useOther", output: inGen("yield* Effect.suspend(() => Airlock.enqueue(Mail, 1))") }]
      }]
    },
    {
      name: "kept by Effect.map at the end of a pipe",
      code: inGen("yield* save.pipe(Effect.map(() => Airlock.enqueue(Mail, 1)))"),
      errors: [{
        messageId: "nested",
        data: { by: "map" },
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "useOther",
          output: inGen("yield* save.pipe(Effect.flatMap(() => Airlock.enqueue(Mail, 1)))")
        }]
      }]
    },
    {
      name: "kept by Effect.as",
      code: inGen("yield* save.pipe(Effect.as(Airlock.enqueue(Mail, 1)))"),
      errors: [{
        messageId: "nested",
        data: { by: "as" },
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "useOther",
          output: inGen("yield* save.pipe(Effect.zipRight(Airlock.enqueue(Mail, 1)))")
        }]
      }]
    },
    {
      name: "kept by Effect.succeed",
      code: inGen("yield* Effect.succeed(Airlock.enqueue(Mail, 1))"),
      errors: [{ messageId: "nested", data: { by: "succeed" }, at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "a helper of the file",
      code: `const send = (n) => Airlock.enqueue(Mail, n)\n${inGen("send(1)")}`,
      errors: [{
        messageId: "dropped",
        at: "send(1)",
        suggestions: [{
          messageId: "addYield",
          output: `const send = (n) => Airlock.enqueue(Mail, n)\n${inGen("yield* send(1)")}`
        }]
      }]
    },
    {
      name: "a helper that calls a helper, declared later",
      code:
        "start(1)\nfunction start() { return Effect.forEach([1], send) }\nfunction send(n) { return Airlock.enqueue(Mail, n) }",
      errors: [{ messageId: "dropped", at: "start(1)" }]
    },
    {
      name: "the other functions whose Effects must run",
      code: inGen(
        "Airlock.enqueueEffect(\"a\", save)\nSqlTransaction.afterCommit(save)\nSqlTransaction.afterRollback(save)"
      ),
      errors: [
        "Airlock.enqueueEffect(\"a\", save)",
        "SqlTransaction.afterCommit(save)",
        "SqlTransaction.afterRollback(save)"
      ].map((at) => ({
        messageId: "dropped",
        at,
        suggestions: [{
          messageId: "addYield",
          output: inGen(
            "Airlock.enqueueEffect(\"a\", save)\nSqlTransaction.afterCommit(save)\nSqlTransaction.afterRollback(save)"
          )
            .replace(at, `yield* ${at}`)
        }]
      }))
    },
    {
      name: "renamed imports",
      bare: true,
      code: "import { Airlock as A } from \"effect-airlock\"\nA.enqueue(Mail, 1)",
      errors: [{ messageId: "dropped", at: "A.enqueue(Mail, 1)" }]
    },
    {
      name: "the module of Airlock",
      bare: true,
      code: "import * as Core from \"effect-airlock/Airlock\"\nCore.enqueue(Mail, 1)",
      errors: [{ messageId: "dropped", at: "Core.enqueue(Mail, 1)" }]
    },
    {
      name: "the namespace of the package",
      bare: true,
      code: "import * as All from \"effect-airlock\"\nAll.Airlock.enqueue(Mail, 1)",
      errors: [{ messageId: "dropped", at: "All.Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "the function itself",
      bare: true,
      code: "import { enqueue } from \"effect-airlock/Airlock\"\nenqueue(Mail, 1)",
      errors: [{ messageId: "dropped", at: "enqueue(Mail, 1)" }]
    },
    {
      name: "the function from a constant",
      code: "const { enqueue: send } = Airlock\nsend(Mail, 1)",
      errors: [{ messageId: "dropped", at: "send(Mail, 1)" }]
    },
    {
      name: "the function by a computed name",
      code: "Airlock[\"enqueue\"](Mail, 1)",
      errors: [{ messageId: "dropped", at: "Airlock[\"enqueue\"](Mail, 1)" }]
    },
    {
      name: "require",
      bare: true,
      code: "const { Airlock } = require(\"effect-airlock\")\nAirlock.enqueue(Mail, 1)",
      errors: [{ messageId: "dropped", at: "Airlock.enqueue(Mail, 1)" }]
    }
  ]
})
