/** The linter's plugin: what it reports, and what it must not. */
import { inFile, type Mutant } from "./mutant.js"

const floating = ["test/lint/noFloatingEnqueue.test.ts"] as const
const retry = ["test/lint/noEnqueueInRetry.test.ts"] as const
const policy = ["test/lint/noEnqueueInPolicy.test.ts"] as const
const dispatch = ["test/lint/noDirectDispatch.test.ts"] as const
const typed = ["test/lint/typed.test.ts"] as const

export const lint: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/lint/path.ts", [
    {
      breaks: "lint: a pipe into a function that nobody knows counts as dropped",
      symbol: "pathOf",
      replace: `operator.kind === "unknown"`,
      by: "false",
      tests: floating
    },
    {
      breaks: "lint: what a callback returns is lost, also if the call is kept",
      symbol: "pathOf",
      replace: `isTimer || method === "forEach" && types?.isVoid(call) === true`,
      by: "true",
      tests: floating
    },
    {
      breaks: "lint: an Effect that Effect.map keeps and that is flattened counts as dropped",
      symbol: "pathOf",
      replace: "isLast ? nestedBy : undefined",
      by: "nestedBy",
      tests: floating
    },
    {
      breaks: "lint: the first operand of a sequence counts as kept",
      symbol: "pathOf",
      replace: "parent.expressions.at(-1) !== node",
      by: "false",
      tests: floating
    },
    {
      breaks: "lint: a generator is not followed to whom runs it",
      symbol: "pathOf",
      replace: "enterFunction(generator, parent)",
      by: "return end(kept)",
      tests: floating
    },
    {
      breaks: "lint: a retry that gets its Effect as an argument is not seen",
      symbol: "pathOf",
      replace: `!returnsIt && argument.type !== "ObjectExpression" && (index === 0 || isCall(unwrap(callee)))`,
      by: "false",
      tests: retry
    },
    {
      breaks: "lint: a generator whose result Effect.flatten runs is reported",
      symbol: "isWanted",
      replace: `name === "flatten"`,
      by: "false",
      tests: floating
    },
    {
      breaks: "lint: a service whose properties are Effects is reported",
      symbol: "pathOf",
      replace: "isGeneratorOfEffect(names, fn) && !isPart",
      by: "isGeneratorOfEffect(names, fn)",
      tests: floating
    },
    {
      breaks: "lint: an enqueue that Effect.as runs counts as kept",
      symbol: "pathOf",
      replace: "!(isSubject && hasSubject(call))",
      by: "true",
      tests: floating
    }
  ]),
  ...inFile("src/internal/lint/names.ts", [
    {
      breaks: "lint: the modules of the package are not recognised",
      symbol: "nameIn",
      replace: "`${packageName}/`",
      by: "`${packageName}#`",
      tests: floating
    },
    {
      breaks: "lint: a variable that can change is taken for its first value",
      symbol: "isConstant",
      replace: `parent.kind === "const"`,
      by: "true",
      tests: floating
    }
  ]),
  ...inFile("src/internal/lint/sites.ts", [
    {
      breaks: "lint: a helper of the file is not followed to where it is used",
      symbol: "sitesIn",
      replace: "reference.isRead()",
      by: "false",
      tests: floating
    },
    {
      breaks: "lint: the scope in a helper does not count where the helper is retried",
      symbol: "sitesIn",
      replace: `site.isScoped || path.applied.some(({ operator: { kind } }) => kind !== "effect")`,
      by: "false",
      tests: retry
    }
  ]),
  ...inFile("src/internal/lint/noEnqueueInRetry.ts", [
    {
      breaks: "lint: a scope inside of a retry does not count",
      symbol: "againIn",
      replace: `operator.kind !== "effect" || operators.has(operator.name)`,
      by: `operator.kind === "effect" && operators.has(operator.name)`,
      tests: retry
    },
    {
      breaks: "lint: an Effect that may have a transaction of its own is reported in a retry",
      symbol: "enqueuesByType",
      replace: `name === "SqlError" || name === "SqlClient"`,
      by: "false",
      tests: typed
    }
  ]),
  ...inFile("src/internal/lint/noEnqueueInPolicy.ts", [
    {
      breaks: "lint: a function that a policy gets by its name is not looked at",
      symbol: "definitionOf",
      replace: `definition?.type === "FunctionDeclaration"`,
      by: `definition?.type === "ImportSpecifier"`,
      tests: policy
    },
    {
      breaks: "lint: an approval may enqueue",
      symbol: "decidingIn",
      replace: `key === "approve"`,
      by: "false",
      tests: policy
    },
    {
      breaks: "lint: the options of everything count as those of a policy",
      symbol: "decidingIn",
      replace: `names.ofAirlock(call.callee) === "Policy.make"`,
      by: "true",
      tests: policy
    }
  ]),
  ...inFile("src/internal/lint/noDirectDispatch.ts", [
    {
      breaks: "lint: the add of any object is a dispatch",
      symbol: "dispatchedTo",
      replace: "isFrom(module)",
      by: "true",
      tests: dispatch
    },
    {
      breaks: "lint: a dispatch in a handler is reported",
      symbol: "check",
      replace: "module !== undefined && !isInside(call, places.allowed)",
      by: "module !== undefined",
      tests: dispatch
    },
    {
      breaks: "lint: a job that is inserted in the caller's transaction is reported",
      symbol: "dispatchedTo",
      replace: "inTransaction !== undefined && call.arguments.some((argument) => hasKey(argument, inTransaction))",
      by: "false",
      tests: dispatch
    },
    {
      breaks: "lint: the files that may dispatch are reported",
      symbol: "noDirectDispatch",
      replace: "allowFiles.some((pattern) => matches(pattern, file))",
      by: "false",
      tests: dispatch
    },
    {
      breaks: "lint: a handler of anything is taken for one of a task",
      symbol: "placesIn",
      replace: "isTask(names, callee.object) || types?.isTask(callee.object) === true",
      by: "true",
      tests: dispatch
    }
  ]),
  ...inFile("src/internal/lint/origin.ts", [
    {
      breaks: "lint: the properties of a class have no origin",
      symbol: "Origins.ofMember",
      replace: "member && this.of(member)",
      by: "undefined",
      tests: dispatch
    },
    {
      breaks: "lint: what an Effect gives has no origin",
      symbol: "Origins.of",
      replace: "this.ofGiven(given)",
      by: "undefined",
      tests: dispatch
    }
  ]),
  ...inFile("src/internal/lint/noFloatingEnqueue.ts", [
    {
      breaks: "lint: an enqueue of a helper in another file may float, although its type is known",
      symbol: "check",
      replace: "isPossible(value) && types.needsScope(value)",
      by: "false",
      tests: typed
    },
    {
      breaks: "lint: return is suggested in the middle of a function",
      symbol: "canReturn",
      replace: "fn.body.body.at(-1) === statement",
      by: "true",
      tests: floating
    }
  ])
]
