/**
 * A process that runs test files in a copy of the project, in one Vitest for all mutants: what did not change is
 * transformed once. Each test file still has a process of its own.
 */
import { resolve } from "node:path"
import { createVitest, type TestCase } from "vitest/node"

/** Asks for test files to be run, after a file was changed. */
export interface Request {
  readonly tests: ReadonlyArray<string>
  readonly changed: string | undefined
  /** How long a test may take. */
  readonly testMillis: number
}

export type Outcome =
  | { readonly _tag: "passed", readonly slowestTestMillis: number }
  /** A test failed. */
  | { readonly _tag: "failed", readonly test: string, readonly error: string }
  /** Something else went wrong, which says nothing about the tests. */
  | { readonly _tag: "crashed", readonly why: string }

const vitest = await createVitest("test", {
  watch: false,
  bail: 1,
  pool: "forks",
  fileParallelism: false,
  reporters: [{}]
})

const run = async (file: string): Promise<Outcome> => {
  const path = resolve(file)
  const specifications = (await vitest.globTestSpecifications([path])).filter(({ moduleId }) => moduleId === path)
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications)
  const module = testModules.find(({ moduleId }) => moduleId === path)
  if (module === undefined) {
    return { _tag: "crashed", why: `${file} is no test file` }
  }
  const [unloaded] = module.errors()
  if (unloaded !== undefined) {
    return { _tag: "crashed", why: `${file} failed outside of its tests: ${unloaded.message}` }
  }
  const failed = [...module.children.allTests("failed")]
  const crashed = failed.map(crashOf).find((crash) => crash !== undefined)
  if (crashed !== undefined) {
    return { _tag: "crashed", why: crashed }
  }
  if (failed.length > 0) {
    return { _tag: "failed", test: `${file} > ${failed[0]!.fullName}`, error: errorsOf(failed[0]!)[0]?.message ?? "" }
  }
  return module.ok() && unhandledErrors.length === 0
    ? { _tag: "passed", slowestTestMillis: Math.max(0, ...[...module.children.allTests()].map(millisOf)) }
    : { _tag: "crashed", why: `no test of ${file} failed, but a hook, or: ${messageOf(unhandledErrors[0])}` }
}

const millisOf = (test: TestCase): number => test.diagnostic()?.duration ?? 0

/** A failure is a crash where code or SQL makes no sense, even if another error wraps that. */
const crashOf = (test: TestCase): string | undefined => {
  const error = errorsOf(test).flatMap(causes).find(({ message, name }) =>
    /\b(ReferenceError|SyntaxError)\b/.test(`${name} ${message}`) || /syntax error|in your SQL syntax/i.test(message)
  )
  return error && `${test.fullName} failed with ${error.name}: ${error.message}`
}

interface Failure {
  readonly name?: string
  readonly message: string
  readonly cause?: unknown
}

const errorsOf = (test: TestCase): ReadonlyArray<Failure> => test.result().errors ?? []

const causes = (error: Failure): ReadonlyArray<Failure> => [
  error,
  ...typeof error.cause === "object" && error.cause !== null && "message" in error.cause
    ? causes(error.cause as Failure)
    : []
]

/** Vitest gives errors of other processes as plain objects. */
const messageOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error)

const answer = async ({ changed, testMillis, tests }: Request): Promise<Outcome> => {
  for (const { config } of vitest.projects) {
    Object.assign(config, { testTimeout: testMillis, hookTimeout: testMillis })
  }
  let slowestTestMillis = 0
  const forget = () => changed === undefined ? undefined : vitest.invalidateFile(resolve(changed))
  forget()
  try {
    for (const file of tests) {
      const outcome = await run(file)
      if (outcome._tag !== "passed") {
        return outcome
      }
      slowestTestMillis = Math.max(slowestTestMillis, outcome.slowestTestMillis)
    }
    return { _tag: "passed", slowestTestMillis }
  } catch (error) {
    return { _tag: "crashed", why: messageOf(error) }
  } finally {
    forget()
  }
}

process.on("message", async (request: Request) => process.send!(await answer(request)))
// Whoever started this process has ended: so does all that it started.
process.on("disconnect", () => process.kill(-process.pid, "SIGKILL"))
