import { testRule } from "./ruleTester.js"

testRule("no-enqueue-in-policy", {
  valid: [
    {
      name: "a policy that decides",
      code: "const policy = Policy.make({ name: \"p\", allows: (intent) => Effect.succeed(intent.task === Mail) })"
    },
    {
      name: "an enqueue in a scope with a policy",
      code: "const program = Airlock.enqueue(Mail, 1).pipe(Airlock.scoped({ policy: Policy.dropAll }))"
    },
    {
      name: "an enqueue beside a policy",
      code: "const both = { send: Airlock.enqueue(Mail, 1), policy: Policy.make({ name: \"p\" }) }"
    },
    {
      name: "an enqueue after a flush failed",
      code:
        "const program = save.pipe(Airlock.scoped({ onFlushError: () => Airlock.scoped(Airlock.enqueue(Mail, 1)) }))"
    },
    {
      name: "an approval that looks",
      code: "const program = save.pipe(Airlock.scoped({ approve: (plan) => Effect.succeed(plan.entries.length < 9) }))"
    },
    {
      name: "allows of another object",
      code: "const rule = access.make({ name: \"p\", allows: () => Airlock.enqueue(Mail, 1) })"
    },
    {
      name: "another make",
      code: "const executor = Executor.make({ name: \"e\", allows: () => Airlock.enqueue(Mail, 1) })"
    },
    {
      name: "a helper that no policy uses",
      code:
        "const send = () => Airlock.enqueue(Mail, 1)\nconst policy = Policy.make({ name: \"p\", allows: () => decide() })"
    }
  ],
  invalid: [
    {
      name: "allows",
      code: "const policy = Policy.make({ name: \"p\", allows: () => Airlock.enqueue(Mail, 1).pipe(Effect.as(true)) })",
      errors: [{
        messageId: "enqueue",
        data: { name: "Airlock.enqueue", where: "allows" },
        at: "Airlock.enqueue(Mail, 1)"
      }]
    },
    {
      name: "onEnqueue, as a method",
      code: "const policy = Policy.make({ name: \"p\", onEnqueue() { return Airlock.enqueue(Mail, 1) } })",
      errors: [{
        messageId: "enqueue",
        data: { name: "Airlock.enqueue", where: "onEnqueue" },
        at: "Airlock.enqueue(Mail, 1)"
      }]
    },
    {
      name: "the deciding function of an Effect",
      code:
        "const policy = Policy.make({ name: \"p\", allows: Effect.sync(() => () => Effect.as(Airlock.enqueue(Mail, 1), true)) })",
      errors: [{ messageId: "enqueue", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "in a scope of its own, which refuses it too",
      code:
        "const policy = Policy.make({ name: \"p\", allows: () => Airlock.enqueue(Mail, 1).pipe(Airlock.scoped({ independent: true }), Effect.as(true)) })",
      errors: [{ messageId: "enqueue", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "by a closure",
      code:
        "const policy = Policy.make({ name: \"p\", allows: () => Effect.as(Airlock.enqueueEffect(\"a\", save), true) })",
      errors: [{
        messageId: "enqueue",
        data: { name: "Airlock.enqueueEffect", where: "allows" },
        at: "Airlock.enqueueEffect(\"a\", save)"
      }]
    },
    {
      name: "a function that stands elsewhere",
      code:
        "function allows() { return Effect.as(Airlock.enqueue(Mail, 1), true) }\nconst policy = Policy.make({ name: \"p\", allows })",
      errors: [{ messageId: "enqueue", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "options that stand elsewhere",
      code:
        "const options = { name: \"p\", allows: () => Effect.as(Airlock.enqueue(Mail, 1), true) }\nconst policy = Policy.make(options)",
      errors: [{ messageId: "enqueue", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "a helper that enqueues",
      code:
        "const audit = (n) => Airlock.enqueue(Mail, n)\nconst policy = Policy.make({ name: \"p\", allows: () => Effect.gen(function*() { yield* audit(1); return true }) })",
      errors: [{ messageId: "enqueue", data: { name: "audit", where: "allows" }, at: "audit" }]
    },
    {
      name: "the approval of a scope",
      code: "const program = save.pipe(Airlock.scoped({ approve: () => Effect.as(Airlock.enqueue(Mail, 1), true) }))",
      errors: [{
        messageId: "enqueue",
        data: { name: "Airlock.enqueue", where: "approve" },
        at: "Airlock.enqueue(Mail, 1)"
      }]
    },
    {
      name: "the approval of all scopes",
      code: "const Live = Airlock.layer({ scope: { approve: () => Effect.as(Airlock.enqueue(Mail, 1), true) } })",
      errors: [{ messageId: "enqueue", at: "Airlock.enqueue(Mail, 1)" }]
    },
    {
      name: "the module of policies",
      bare: true,
      code:
        "import { make } from \"effect-airlock/Policy\"\nimport * as Airlock from \"effect-airlock/Airlock\"\nconst policy = make({ name: \"p\", allows: () => Airlock.enqueue(Mail, 1) })",
      errors: [{ messageId: "enqueue", at: "Airlock.enqueue(Mail, 1)" }]
    }
  ]
})
