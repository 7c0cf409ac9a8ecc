import { testRule } from "./ruleTester.js"

const bull = "import { Queue } from \"bullmq\"\nconst queue = new Queue(\"mail\")\n"
const custom = [{
  dispatchers: [
    { module: "nodemailer", methods: ["sendMail"] },
    { module: "**/mailer.js", functions: ["sendNow"] },
    { module: "@acme/*", methods: ["notify"] }
  ]
}]

testRule("no-direct-dispatch", {
  valid: [
    { name: "an add of a Set", code: "new Set().add(1)" },
    { name: "an add of any object", code: "const cart = new Cart()\ncart.add(item)" },
    {
      name: "an add of a class of the file with the name of a queue's",
      code: "class Queue { add() {} }\nnew Queue().add(1)"
    },
    { name: "an add of an object of Effect", code: "class Api extends HttpApi.make(\"api\").add(group) {}" },
    { name: "a send of any object", code: "reply.code(201).send({ id })" },
    { name: "a publish of any object", code: "events.publish(\"a\")" },
    { name: "another method of a queue", code: `${bull}queue.getJobs()` },
    { name: "a set beside a queue", code: `${bull}const seen = new Set()\nseen.add(queue.name)` },
    { name: "a shadowed queue", code: `${bull}const f = (queue) => queue.add("a")` },
    {
      name: "queues whose calls go through Airlock",
      code:
        `${bull}import * as BullMq from "effect-airlock/executors/BullMq"\nconst other = new Queue("b")\nconst Live = Layer.merge(BullMq.layerIntercept(queue), Layer.scopedDiscard(BullMq.intercept(other)))\nqueue.add("a")\nother.add("b")`
    },
    { name: "a worker", code: "import { Worker } from \"bullmq\"\nnew Worker(\"mail\", run)" },
    {
      name: "a call that is marked as direct",
      code: `${bull}import * as BullMq from "effect-airlock/executors/BullMq"\nBullMq.direct(queue).add("mail", {})`
    },
    {
      name: "in the handler of a task",
      code: `${bull}const Tasks = Mail.toLayer((n) => Effect.promise(() => queue.add("mail", { n })))`
    },
    {
      name: "in a handler that stands elsewhere",
      code:
        `${bull}const handler = (n) => Effect.promise(() => queue.add("mail", { n }))\nconst Tasks = Mail.toLayer(handler)`
    },
    {
      name: "in a batched handler",
      code: `${bull}const Tasks = Mail.toLayerBatched((all) => Effect.promise(() => queue.addBulk(all)))`
    },
    {
      name: "in an executor",
      code:
        `${bull}const executor = Executor.make({ name: "bull", dispatch: (batch) => Effect.promise(() => queue.addBulk(batch)) })`
    },
    {
      name: "in the caller's own transaction",
      code: "import PgBoss from \"pg-boss\"\nconst boss = new PgBoss(url)\nboss.send(\"mail\", {}, { db })"
    },
    {
      name: "in a file that may",
      filename: "src/workers/mail.ts",
      options: [{ allowFiles: ["src/workers/**"] }],
      code: `${bull}queue.add("a")`
    },
    { name: "a module that is ignored", options: [{ ignoreModules: ["bullmq"] }], code: `${bull}queue.add("a")` },
    {
      name: "a handler that is registered",
      code: "const handler = (n) => save(n)\nconst Tasks = Mail.toLayer(handler)"
    },
    {
      name: "a handler of something else",
      code: "const handler = (n) => save(n)\nconst Workflows = workflow.toLayer(handler)\nhandler(1)"
    },
    {
      name: "a method of a module that is not configured",
      options: custom,
      code: "import { send } from \"./sender.js\"\nsend(1)"
    }
  ],
  invalid: [
    {
      name: "BullMQ",
      code: `${bull}queue.add("a", {})\nqueue?.addBulk([])\nnew Queue("b")["add"]("c")`,
      errors: ["queue.add(\"a\", {})", "queue?.addBulk([])", "new Queue(\"b\")[\"add\"](\"c\")"].map((at) => ({
        messageId: "dispatch",
        at
      }))
    },
    {
      name: "what the message says",
      code: `${bull}queue.add("a", {})`,
      errors: [{ messageId: "dispatch", data: { name: "queue.add", module: "bullmq" }, at: "queue.add(\"a\", {})" }]
    },
    {
      name: "a flow of BullMQ, by the namespace",
      code: "import * as bull from \"bullmq\"\nconst flows = new bull.FlowProducer()\nflows.add(tree)",
      errors: [{ messageId: "dispatch", at: "flows.add(tree)" }]
    },
    {
      name: "a parameter with a type",
      code: "import type { Queue } from \"bullmq\"\nexport const send = (queue: Queue<number>) => queue.add(\"a\", 1)",
      errors: [{ messageId: "dispatch", at: "queue.add(\"a\", 1)" }]
    },
    {
      name: "a constant with a type",
      code: "import type { Queue } from \"bullmq\"\nconst queue: Queue = make()\nqueue.add(\"a\", 1)",
      errors: [{ messageId: "dispatch", at: "queue.add(\"a\", 1)" }]
    },
    {
      name: "properties of a class",
      code: [
        "import { Queue } from \"bullmq\"",
        "class Mailer {",
        "  a = new Queue(\"a\")",
        "  b: Queue",
        "  constructor(private c: Queue) { this.d = new Queue(\"d\") }",
        "  send() { this.a.add(1); this.b.add(2); this.c.add(3); this.d.add(4); this.e.add(5) }",
        "}"
      ].join("\n"),
      errors: ["this.a.add(1)", "this.b.add(2)", "this.c.add(3)", "this.d.add(4)"].map((at) => ({
        messageId: "dispatch",
        at
      }))
    },
    {
      name: "a subclass",
      code: "import { Queue } from \"bullmq\"\nclass Mails extends Queue {}\nnew Mails(\"a\").add(1)",
      errors: [{ messageId: "dispatch", at: "new Mails(\"a\").add(1)" }]
    },
    {
      name: "a queue that an Effect gives",
      code:
        "import { Queue } from \"bullmq\"\nconst program = Effect.gen(function*() { const queue = yield* Effect.acquireRelease(Effect.sync(() => new Queue(\"a\")), close)\nyield* Effect.promise(() => queue.add(\"a\", 1)) })",
      errors: [{ messageId: "dispatch", at: "queue.add(\"a\", 1)" }]
    },
    {
      name: "pg-boss",
      code:
        "import PgBoss from \"pg-boss\"\nconst boss = new PgBoss(url)\nconst f = async () => { await boss.send(\"mail\", {}); await boss.insert([]) }",
      errors: ["boss.send(\"mail\", {})", "boss.insert([])"].map((at) => ({ messageId: "dispatch", at }))
    },
    {
      name: "graphile-worker",
      code:
        "import { makeWorkerUtils, quickAddJob } from \"graphile-worker\"\nconst f = async () => { const utils = await makeWorkerUtils({}); await utils.addJob(\"a\"); await quickAddJob({}, \"a\") }",
      errors: ["utils.addJob(\"a\")", "quickAddJob({}, \"a\")"].map((at) => ({ messageId: "dispatch", at }))
    },
    {
      name: "RabbitMQ",
      code:
        "import amqp from \"amqplib\"\nconst f = async () => { const connection = await amqp.connect(url)\nconst channel = await connection.createChannel()\nchannel.publish(\"\", \"a\", body)\nchannel.sendToQueue(\"a\", body) }",
      errors: ["channel.publish(\"\", \"a\", body)", "channel.sendToQueue(\"a\", body)"].map((at) => ({
        messageId: "dispatch",
        at
      }))
    },
    {
      name: "a channel that Effect.tryPromise gives",
      code:
        "import { connect } from \"amqplib\"\nconst f = Effect.gen(function*() { const connection = yield* Effect.tryPromise({ try: () => connect(url), catch: fail })\nconst channel = yield* Effect.promise(() => connection.createChannel())\nchannel.publish(\"\", \"a\", body) })",
      errors: [{ messageId: "dispatch", at: "channel.publish(\"\", \"a\", body)" }]
    },
    {
      name: "require",
      code: "const { Queue } = require(\"bullmq\")\nnew Queue(\"a\").add(1)",
      errors: [{ messageId: "dispatch", at: "new Queue(\"a\").add(1)" }]
    },
    {
      name: "what the options name",
      options: custom,
      code: [
        "import { createTransport } from \"nodemailer\"",
        "import { sendNow } from \"../mail/mailer.js\"",
        "import { client } from \"@acme/push\"",
        "const mail = createTransport(url)",
        "mail.sendMail({})",
        "sendNow(1)",
        "client.notify(1)"
      ].join("\n"),
      errors: [
        { messageId: "dispatch", data: { name: "mail.sendMail", module: "nodemailer" }, at: "mail.sendMail({})" },
        { messageId: "dispatch", data: { name: "sendNow", module: "../mail/mailer.js" }, at: "sendNow(1)" },
        { messageId: "dispatch", data: { name: "client.notify", module: "@acme/push" }, at: "client.notify(1)" }
      ]
    },
    {
      name: "a file that may not",
      filename: "src/orders/workers.ts",
      options: [{ allowFiles: ["src/workers/**", "workers.ts", "src/*.ts"] }],
      code: `${bull}queue.add("a", {})`,
      errors: [{ messageId: "dispatch", at: "queue.add(\"a\", {})" }]
    },
    {
      name: "the handler of a task",
      code: "const handler = (n) => save(n)\nconst Tasks = Mail.toLayer(handler)\nexport const now = handler(1)",
      errors: [{ messageId: "handler", data: { name: "handler", task: "Mail" }, at: "handler(1)" }]
    },
    {
      name: "the batched handler of a task, a function with a name",
      code:
        "export const now = () => sendAll([1])\nfunction sendAll(all) { return save(all) }\nconst Tasks = Mail.toLayerBatched(sendAll)",
      errors: [{ messageId: "handler", at: "sendAll([1])" }]
    }
  ]
})
