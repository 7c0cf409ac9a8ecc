/**
 * `npm run test:mutants [words]`: applies each mutant to a copy of the project, runs the tests there, and fails unless every
 * one of them makes a test go red. Words choose the mutants that have one of them in their description.
 */
import { spawn } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { type Mutant, mutants } from "./mutants.js"

const workers = 2

const copy = (directory: string): void => {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const name of ["src", "test", "docs", "package.json", "tsconfig.json", "vitest.config.ts"]) {
    cpSync(name, join(directory, name), { recursive: true })
  }
  symlinkSync(resolve("node_modules"), join(directory, "node_modules"))
}

/** All files in one process, so that what they import is loaded once; and less patience with what hangs. */
const together = [
  "--no-isolate",
  "--pool",
  "forks",
  "--poolOptions.forks.singleFork",
  "--testTimeout",
  "10000",
  "--hookTimeout",
  "10000"
]

/** Whether the tests pass; a run that takes far longer than it should has hung, which is a way to go red. */
const passes = (
  directory: string,
  tests: ReadonlyArray<string>,
  output: "inherit" | "ignore",
  limit = 300_000
): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn("node", ["node_modules/vitest/vitest.mjs", "run", "--bail", "1", ...tests], {
      cwd: directory,
      // Fewer programs than usual: what the models notice at all they notice soon.
      env: { ...process.env, CI: "true", AIRLOCK_MODEL_SQL_RUNS: "100" },
      stdio: ["ignore", output, output],
      // A group of its own: a mutant may loop for ever in a process that its runner cannot end.
      detached: true
    })
    const end = () => {
      try {
        process.kill(-child.pid!, "SIGKILL")
      } catch {
        // Nobody is left.
      }
    }
    const timer = setTimeout(end, limit)
    child.on("exit", (code) => {
      clearTimeout(timer)
      end()
      resolve(code === 0)
    })
  })

/** The tests that should notice first; the others are run only where these do not. */
const nearest = (file: string): ReadonlyArray<string> =>
  file.endsWith("/outbox/relay.ts")
    ? ["test/internal/outbox/relay"]
    : file.includes("/outbox/")
    ? ["test/internal/outbox/store", "test/internal/outbox/schema"]
    : file.endsWith("SqlTransaction.ts") || file.includes("/sql/")
    ? ["test/SqlTransaction", "test/sql", "test/model/sql"]
    : ["HttpMiddleware", "HttpTransaction", "RpcMiddleware", "request", "body"].some((name) =>
        file.endsWith(`/${name}.ts`)
      )
    ? ["HttpMiddleware", "HttpTransaction", "RpcMiddleware", "http/connections", "docs/http"].map((name) =>
      `test/${name}`
    )
    : ["Airlock", "hostile", "Plan", "Policy", "Task", "internal/settle"].map((name) => `test/${name}`)

const others = ["--exclude", "test/{docs,examples}/**", "--exclude", "test/http/load.test.ts"]

const isApplicable = ({ file, from }: Mutant): boolean => readFileSync(file, "utf8").split(from).length === 2

type Fate = "killed" | "killed, but not by the nearest tests" | "SURVIVED"

const fateOf = async (directory: string, { file, from, tests, to }: Mutant): Promise<Fate> => {
  const path = join(directory, file)
  const original = readFileSync(path, "utf8")
  writeFileSync(path, original.replace(from, () => to))
  try {
    return !await passes(directory, together.concat(tests ?? nearest(file)), "ignore", 90_000)
      ? "killed"
      : !await passes(directory, others, "ignore")
      ? "killed, but not by the nearest tests"
      : "SURVIVED"
  } finally {
    writeFileSync(path, original)
  }
}

const words = process.argv.slice(2)
const chosen = mutants.filter(({ breaks }) => words.length === 0 || words.some((word) => breaks.includes(word)))
const stale = mutants.filter((mutant) => !isApplicable(mutant))
if (stale.length > 0) {
  throw new Error(`what these replace must stand exactly once:\n${stale.map(({ breaks }) => breaks).join("\n")}`)
}
const survivors: Array<string> = []
const queue = [...chosen]

const directoryOf = (worker: number): string => `.tmp/mutants-${worker}`

const work = async (worker: number): Promise<void> => {
  const directory = directoryOf(worker)
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const started = performance.now()
    const fate = await fateOf(directory, mutant)
    process.stdout.write(`${fate} in ${((performance.now() - started) / 1000).toFixed(0)} s  ${mutant.breaks}\n`)
    if (fate === "SURVIVED") {
      survivors.push(mutant.breaks)
    }
  }
  rmSync(directory, { recursive: true, force: true })
}

for (let worker = 0; worker < workers; worker++) {
  copy(directoryOf(worker))
}
const sets = new Map(chosen.map(({ file, tests }) => [(tests ?? nearest(file)).join(" "), tests ?? nearest(file)]))
const areHealthy = async (
  directory: string,
  runs: ReadonlyArray<ReadonlyArray<string>>,
  limit?: number
): Promise<boolean> => {
  for (const tests of runs) {
    if (!await passes(directory, tests, "inherit", limit)) {
      return false
    }
  }
  return true
}
const healthy = await Promise.all([
  areHealthy(directoryOf(0), [others]),
  areHealthy(directoryOf(1), [...sets.values()].map((tests) => together.concat(tests)), 90_000)
])
if (!healthy.every((isHealthy) => isHealthy)) {
  throw new Error("the tests fail without any mutant: what they printed stands above")
}
await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)))
process.stdout.write(`${chosen.length - survivors.length} of ${chosen.length} mutants killed\n`)
process.exit(survivors.length === 0 ? 0 : 1)
