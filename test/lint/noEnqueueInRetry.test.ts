import { testRule } from "./ruleTester.js"

testRule("no-enqueue-in-retry", {
  valid: [
    { name: "no retry", code: "export const program = Airlock.enqueue(Mail, 1).pipe(Airlock.scoped)" },
    {
      name: "a retry of other work",
      code: "const program = save.pipe(Effect.retry({ times: 3 }), Effect.zipRight(Airlock.enqueue(Mail, 1)))"
    },
    {
      name: "a scope around each attempt",
      code:
        "const program = Airlock.enqueue(Mail, 1).pipe(Effect.zipRight(save), Airlock.scoped, Effect.retry({ times: 3 }))"
    },
    {
      name: "a scope with options around each attempt",
      code:
        "const program = Airlock.enqueue(Mail, 1).pipe(Airlock.scoped({ name: \"try\" }), Effect.retry({ times: 3 }))"
    },
    {
      name: "a scope around each attempt, data first",
      code: "const program = Effect.retry(Airlock.scoped(Airlock.enqueue(Mail, 1)), { times: 3 })"
    },
    {
      name: "a transaction around each attempt",
      code: "const program = sql.withTransaction(Airlock.enqueue(Mail, 1)).pipe(Effect.retry({ times: 3 }))"
    },
    {
      name: "a transaction around each attempt, in a pipe",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(sql.withTransaction, Effect.retry({ times: 3 }))"
    },
    {
      name: "SqlTransaction.transaction around each attempt",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(SqlTransaction.transaction, Effect.retry({ times: 3 }))"
    },
    {
      name: "a scope in the generator that is retried",
      code:
        "const program = Effect.gen(function*() { yield* Airlock.scoped(Airlock.enqueue(Mail, 1)) }).pipe(Effect.retry({ times: 3 }))"
    },
    {
      name: "a scope in the helper that is retried",
      code:
        "const send = (n) => Airlock.enqueue(Mail, n).pipe(Airlock.scoped)\nconst program = send(1).pipe(Effect.retry({ times: 3 }))"
    },
    {
      name: "a helper that is not retried",
      code:
        "const send = (n) => Airlock.enqueue(Mail, n)\nconst program = send(1).pipe(Effect.zipRight(save.pipe(Effect.retry({ times: 3 }))))"
    },
    {
      name: "a wrapper that may open a scope",
      code: "const program = inScope(Airlock.enqueue(Mail, 1)).pipe(Effect.retry({ times: 3 }))"
    },
    {
      name: "an operator that may open a scope",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(inScope, Effect.retry({ times: 3 }))"
    },
    {
      name: "a layer that may open a scope",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Effect.provide(Live), Effect.retry({ times: 3 }))"
    },
    {
      name: "an enqueue in the closure of another",
      code:
        "const program = Airlock.enqueueEffect(\"a\", Airlock.enqueue(Mail, 1)).pipe(Airlock.scoped, Effect.retry({ times: 3 }))"
    },
    {
      name: "a hook of a transaction",
      code: "const program = SqlTransaction.afterRollback(save).pipe(Effect.retry({ times: 3 }))"
    },
    {
      name: "a handler that enqueues",
      code:
        "const program = serve.pipe(Effect.provide(Mail.toLayer(() => Airlock.enqueue(Mail, 1))), Effect.retry({ times: 3 }))"
    },
    {
      name: "a count of repetitions",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Effect.repeatN(9), Airlock.scoped)"
    },
    {
      name: "an operator that is switched off",
      options: [{ operators: ["retry"] }],
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Effect.forever)"
    },
    { name: "another retry", code: "const program = Airlock.enqueue(Mail, 1).pipe(retry({ times: 3 }))" },
    {
      name: "a function that calls itself",
      code: "const send = (n) => Airlock.enqueue(Mail, n).pipe(Effect.zipRight(send(n - 1)))"
    }
  ],
  invalid: [
    {
      name: "in a pipe",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Effect.zipRight(save), Effect.retry({ times: 3 }))",
      errors: [{
        messageId: "retry",
        data: { operator: "retry", name: "Airlock.enqueue" },
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output:
            "const program = Airlock.enqueue(Mail, 1).pipe(Effect.zipRight(save), Airlock.scoped, Effect.retry({ times: 3 }))"
        }]
      }]
    },
    {
      name: "in the function pipe",
      code: "const program = pipe(Airlock.enqueue(Mail, 1), Effect.retry({ times: 3 }))",
      errors: [{
        messageId: "retry",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output: "const program = pipe(Airlock.enqueue(Mail, 1), Airlock.scoped, Effect.retry({ times: 3 }))"
        }]
      }]
    },
    {
      name: "data first",
      code: "const program = Effect.retry(Airlock.enqueue(Mail, 1), { times: 3 })",
      errors: [{
        messageId: "retry",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output: "const program = Effect.retry(Airlock.scoped(Airlock.enqueue(Mail, 1)), { times: 3 })"
        }]
      }]
    },
    {
      name: "options first",
      code: "const program = Effect.retry({ times: 3 })(Airlock.enqueue(Mail, 1))",
      errors: [{
        messageId: "retry",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output: "const program = Effect.retry({ times: 3 })(Airlock.scoped(Airlock.enqueue(Mail, 1)))"
        }]
      }]
    },
    {
      name: "in a callback of an operator",
      code: "const program = save.pipe(Effect.tap(() => Airlock.enqueue(Mail, 1)), Effect.retry({ times: 3 }))",
      errors: [{
        messageId: "retry",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output:
            "const program = save.pipe(Effect.tap(() => Airlock.enqueue(Mail, 1)), Airlock.scoped, Effect.retry({ times: 3 }))"
        }]
      }]
    },
    {
      name: "in a generator, twice",
      code:
        "const program = Effect.gen(function*() { yield* Airlock.enqueue(Mail, 1); if (ok) { yield* Airlock.enqueue(Mail, 2) } }).pipe(Effect.retryOrElse(policy, onError))",
      errors: ["1", "2"].map((n) => ({
        messageId: "retry",
        data: { operator: "retryOrElse", name: "Airlock.enqueue" },
        at: `Airlock.enqueue(Mail, ${n})`,
        suggestions: [{
          messageId: "addScope",
          output:
            "const program = Effect.gen(function*() { yield* Airlock.enqueue(Mail, 1); if (ok) { yield* Airlock.enqueue(Mail, 2) } }).pipe(Airlock.scoped, Effect.retryOrElse(policy, onError))"
        }]
      }))
    },
    {
      name: "in a function of Effect.fn that is retried by it",
      code:
        "const send = Effect.fn(\"send\")(function*() { yield* Airlock.enqueue(Mail, 1) }, Effect.retry({ times: 3 }))",
      errors: [{
        messageId: "retry",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output:
            "const send = Effect.fn(\"send\")(function*() { yield* Airlock.enqueue(Mail, 1) }, Airlock.scoped, Effect.retry({ times: 3 }))"
        }]
      }]
    },
    {
      name: "in a list of Effects",
      code: "const program = Effect.all(items.map((n) => Airlock.enqueue(Mail, n))).pipe(Effect.retry({ times: 3 }))",
      errors: [{
        messageId: "retry",
        at: "Airlock.enqueue(Mail, n)",
        suggestions: [{
          messageId: "addScope",
          output:
            "const program = Effect.all(items.map((n) => Airlock.enqueue(Mail, n))).pipe(Airlock.scoped, Effect.retry({ times: 3 }))"
        }]
      }]
    },
    {
      name: "a helper, where it is retried",
      code:
        "const send = (n) => Effect.zipRight(save, Airlock.enqueue(Mail, n))\nconst good = send(1)\nconst bad = send(2).pipe(Effect.retry({ times: 3 }))",
      errors: [{
        messageId: "retry",
        data: { operator: "retry", name: "send" },
        at: "send",
        suggestions: [{
          messageId: "addScope",
          output:
            "const send = (n) => Effect.zipRight(save, Airlock.enqueue(Mail, n))\nconst good = send(1)\nconst bad = send(2).pipe(Airlock.scoped, Effect.retry({ times: 3 }))"
        }]
      }]
    },
    {
      name: "a scope around all attempts",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Effect.repeat(schedule), Airlock.scoped)",
      errors: [{
        messageId: "repeat",
        data: { operator: "repeat", name: "Airlock.enqueue" },
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output:
            "const program = Airlock.enqueue(Mail, 1).pipe(Airlock.scoped, Effect.repeat(schedule), Airlock.scoped)"
        }]
      }]
    },
    {
      name: "forever",
      code: "const program = Effect.forever(Airlock.enqueue(Mail, 1))",
      errors: [{
        messageId: "repeat",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output: "const program = Effect.forever(Airlock.scoped(Airlock.enqueue(Mail, 1)))"
        }]
      }]
    },
    {
      name: "a count of repetitions, if the options say so",
      options: [{ operators: ["repeatN"] }],
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Effect.repeatN(9), Airlock.scoped)",
      errors: [{
        messageId: "repeat",
        at: "Airlock.enqueue(Mail, 1)",
        suggestions: [{
          messageId: "addScope",
          output: "const program = Airlock.enqueue(Mail, 1).pipe(Airlock.scoped, Effect.repeatN(9), Airlock.scoped)"
        }]
      }]
    },
    {
      name: "without the import that a suggestion needs",
      bare: true,
      code:
        "import { retry } from \"effect/Effect\"\nimport { enqueue } from \"effect-airlock/Airlock\"\nconst program = enqueue(Mail, 1).pipe(retry({ times: 3 }))",
      errors: [{ messageId: "retry", data: { operator: "retry", name: "Airlock.enqueue" }, at: "enqueue(Mail, 1)" }]
    }
  ]
})
