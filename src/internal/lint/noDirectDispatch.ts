/**
 * `no-direct-dispatch`: a side effect that leaves at once, whatever becomes of the work around it.
 *
 * @internal
 */
import { matches } from "./glob.js"
import type { Names } from "./names.js"
import { type CallExpression, isCall, keyName, methodOf, type Node, unwrap } from "./node.js"
import { Origins } from "./origin.js"
import { listOfText, rule, type RuleContext, type Variable } from "./rule.js"
import { analysisOf } from "./sites.js"
import type { Types } from "./types.js"

/** What of a module dispatches. */
interface Dispatcher {
  /** The name of the module as it is imported; `*` and `**` are wildcards. */
  readonly module: string
  /** The methods, of any object that comes from the module. */
  readonly methods?: ReadonlyArray<string>
  /** The functions that the module exports. */
  readonly functions?: ReadonlyArray<string>
}

interface Options {
  /** What dispatches, beside the job queues that the rule knows. */
  readonly dispatchers: ReadonlyArray<Dispatcher>
  /** Modules of job queues that the rule knows and shall not look for. */
  readonly ignoreModules: ReadonlyArray<string>
  /** The files that may dispatch: paths from the directory in which the linter runs. */
  readonly allowFiles: ReadonlyArray<string>
}

interface JobQueue extends Dispatcher {
  /** The option with which a method inserts its job in the caller's own transaction. */
  readonly inTransaction?: string
}

const queues: ReadonlyArray<JobQueue> = [
  { module: "bullmq", methods: ["add", "addBulk"] },
  {
    module: "pg-boss",
    methods: ["send", "sendAfter", "sendOnce", "sendSingleton", "sendThrottled", "sendDebounced", "insert", "publish"],
    inTransaction: "db"
  },
  { module: "graphile-worker", methods: ["addJob", "addJobs"], functions: ["quickAddJob", "addJobAdhoc"] },
  { module: "amqplib", methods: ["publish", "sendToQueue"] },
  { module: "amqplib/callback_api", methods: ["publish", "sendToQueue"] }
]

/** @internal */
export const noDirectDispatch = rule<Options>({
  name: "no-direct-dispatch",
  description: "Disallow side effects that leave before the work around them has succeeded",
  messages: {
    dispatch:
      "`{{name}}` of {{module}} leaves at once, also if the work around it fails later. Enqueue a task: `yield* Airlock.enqueue(task, payload)`, and dispatch in its handler.",
    handler:
      "`{{name}}` is the handler of `{{task}}`: called directly, it runs at once, also if the work around it fails later. Enqueue the task: `yield* Airlock.enqueue({{task}}, payload)`."
  },
  options: {
    dispatchers: {
      type: "array",
      items: {
        type: "object",
        properties: { module: { type: "string", minLength: 1 }, methods: listOfText, functions: listOfText },
        required: ["module"],
        anyOf: [{ required: ["methods"] }, { required: ["functions"] }],
        additionalProperties: false
      }
    },
    ignoreModules: { type: "array", items: { enum: queues.map(({ module }) => module) }, uniqueItems: true },
    allowFiles: listOfText
  },
  defaults: { dispatchers: [], ignoreModules: [], allowFiles: [] },
  create: (context, { allowFiles, dispatchers, ignoreModules }) => {
    const file = pathFrom(context.cwd, context.filename)
    if (allowFiles.some((pattern) => matches(pattern, file))) {
      return {}
    }
    const known = [...queues.filter(({ module }) => !ignoreModules.includes(module)), ...dispatchers]
    const calls: Array<CallExpression> = []
    return {
      CallExpression: (node) => {
        if (isCall(node)) {
          calls.push(node)
        }
      },
      "Program:exit": () => check(context, known, calls)
    }
  }
})

const check = (
  context: RuleContext,
  dispatchers: ReadonlyArray<JobQueue>,
  calls: ReadonlyArray<CallExpression>
): void => {
  const { names, types } = analysisOf(context.sourceCode)
  const origins = new Origins(names)
  const places = placesIn(names, types, calls)
  for (const call of calls) {
    const { callee } = call
    const handler = places.handlers.get(names.variableOf(callee)?.defs[0]?.name ?? callee)
    if (handler !== undefined) {
      if (!isInside(call, places.allowed)) {
        context.report({
          node: call,
          messageId: "handler",
          data: { name: context.sourceCode.getText(callee), task: handler }
        })
      }
      continue
    }
    const target = unwrap(callee)
    const queue = target.type === "MemberExpression" ? names.variableOf(unwrap(target.object)) : undefined
    if (queue !== undefined && places.intercepted.has(queue) || isMeant(names, target)) {
      continue
    }
    const module = dispatchedTo(names, types, origins, dispatchers, call)
    if (module !== undefined && !isInside(call, places.allowed)) {
      context.report({ node: call, messageId: "dispatch", data: { name: context.sourceCode.getText(callee), module } })
    }
  }
}

/** The module whose queue a call puts something into. */
const dispatchedTo = (
  names: Names,
  types: Types | undefined,
  origins: Origins,
  dispatchers: ReadonlyArray<JobQueue>,
  call: CallExpression
): string | undefined => {
  const callee = unwrap(call.callee)
  const imported = names.importOf(callee)
  const exported = imported?.path.length === 1 ? imported : undefined
  const byFunction = exported &&
    dispatchers.find(({ functions, module }) =>
      functions?.includes(exported.path[0]!) === true && matches(module, exported.module)
    )
  if (byFunction !== undefined) {
    return exported?.module
  }
  const method = methodOf(call)
  const byMethod = method === undefined ? [] : dispatchers.filter(({ methods }) => methods?.includes(method) === true)
  if (byMethod.length === 0 || callee.type !== "MemberExpression") {
    return undefined
  }
  const files = types?.declaredIn(callee.property)
  const origin = origins.of(callee.object)
  const isFrom = (module: string): boolean => origin !== undefined && matches(module, origin)
  const found = byMethod.find((dispatcher) => {
    const { inTransaction, module } = dispatcher
    if (inTransaction !== undefined && call.arguments.some((argument) => hasKey(argument, inTransaction))) {
      return false
    }
    // Of the packages that the rule knows, the type tells more than the imports.
    return files?.some((file) => isInPackage(file, module)) === true ||
      (files === undefined || !queues.includes(dispatcher)) && isFrom(module)
  })
  return found && isFrom(found.module) ? origin : found?.module
}

const hasKey = (node: Node, key: string): boolean =>
  node.type === "ObjectExpression" &&
  node.properties.some((property) => property.type === "Property" && keyName(property.key, property.computed) === key)

/** Whether a file is one of a package, or of its types. */
const isInPackage = (file: string, module: string): boolean => {
  const name = module.startsWith("@") ? module.split("/").slice(0, 2).join("/") : module.split("/")[0]!
  const typed = name.startsWith("@") ? name.slice(1).replace("/", "__") : name
  return file.includes(`/node_modules/${name}/`) || file.includes(`/node_modules/@types/${typed}/`)
}

/** The handlers of tasks in a file, by the names that define them, and the code that may dispatch. */
const placesIn = (
  names: Names,
  types: Types | undefined,
  calls: ReadonlyArray<CallExpression>
): {
  readonly handlers: ReadonlyMap<Node, string>
  readonly allowed: ReadonlySet<Node>
  /** The queues whose calls go through Airlock. */
  readonly intercepted: ReadonlySet<Variable>
} => {
  const handlers = new Map<Node, string>()
  const allowed = new Set<Node>()
  const intercepted = new Set<Variable>()
  for (const call of calls) {
    const callee = unwrap(call.callee)
    const method = methodOf(call)
    if (callee.type === "MemberExpression" && (method === "toLayer" || method === "toLayerBatched")) {
      const [handler] = call.arguments
      const definition = handler && names.variableOf(handler)?.defs[0]
      allowed.add(call)
      if (definition !== undefined) {
        allowed.add(definition.node)
        if (isTask(names, callee.object) || types?.isTask(callee.object) === true) {
          handlers.set(definition.name, taskName(callee.object))
        }
      }
    }
    const name = names.ofAirlock(callee)
    // The jobs of a wrapped processor go through its scope.
    if (name === "Executor.make" || name !== undefined && /^executors\/\w+\.wrap\w+$/.test(name)) {
      allowed.add(call)
    }
    if (
      name !== undefined && /^executors\/\w+\.(intercept|layerIntercept)$/.test(name) && call.arguments[0] !== undefined
    ) {
      const queue = names.variableOf(call.arguments[0])
      if (queue !== undefined) {
        intercepted.add(queue)
      }
    }
  }
  return { handlers, allowed, intercepted }
}

/** Whether an expression is a constant of this file that `Task.make` has made. */
const isTask = (names: Names, expression: Node): boolean => {
  const definition = names.variableOf(expression)?.defs[0]?.node
  const made = definition?.type === "VariableDeclarator" && definition.init !== null
    ? unwrap(definition.init)
    : undefined
  return made !== undefined && isCall(made) && names.ofAirlock(made.callee) === "Task.make"
}

const taskName = (expression: Node): string => expression.type === "Identifier" ? expression.name : "the task"

const isInside = (node: Node, places: ReadonlySet<Node>): boolean => {
  for (let around: Node | null = node; around !== null; around = around.parent) {
    if (places.has(around)) {
      return true
    }
  }
  return false
}

/** Whether a method is one of `BullMq.direct(queue)` and its like: a dispatch that is meant to be direct. */
const isMeant = (names: Names, callee: Node): boolean => {
  const object = callee.type === "MemberExpression" ? unwrap(callee.object) : callee
  return isCall(object) && /^executors\/\w+\.direct$/.test(names.ofAirlock(object.callee) ?? "")
}

/** The path of a file from a directory, with `/` on every system. */
const pathFrom = (directory: string, file: string): string => {
  const path = file.replaceAll("\\", "/")
  const root = `${directory.replaceAll("\\", "/")}/`
  return path.startsWith(root) ? path.slice(root.length) : path
}
