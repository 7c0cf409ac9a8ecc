/**
 * `npm run test:mutants` breaks the library in one way after the other, and fails unless each time one of the tests that
 * the mutant names fails. CONTRIBUTING.md tells how to choose mutants, and how to write one.
 */
import { parseArgs } from "node:util"
import type { Mutant } from "./mutant.js"
import { mutants } from "./mutants.js"
import { apply, type Mutation, type Problem } from "./runner/apply.js"
import { choose, defaultBase } from "./runner/choose.js"
import { compile } from "./runner/compile.js"
import { Session, UnhealthyTests, type Verdict } from "./runner/session.js"

const { positionals: words, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    /** Only see whether all mutants fit and compile. */
    check: { type: "boolean", default: false },
    /** The mutants of what changed since the base. */
    changed: { type: "boolean", default: false },
    base: { type: "string" },
    /** So many of the others, drawn by the seed. */
    sample: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    /** No mutant is begun later than that. */
    minutes: { type: "string", default: "Infinity" }
  }
})

const deadline = Date.now() + Number(options.minutes) * 60_000

const print = (line: string): void => void process.stdout.write(`${line}\n`)

const refuse = (problems: ReadonlyArray<Problem>): void => {
  if (problems.length > 0) {
    problems.forEach(({ message, mutant }) => print(`\n${mutant.breaks}\n    ${message}`))
    print(`\n${problems.length} mutants are no use as they are`)
    process.exit(1)
  }
}

/** All of them must fit, whichever are to run. */
const fit = (): ReadonlyMap<Mutant, Mutation> => {
  const twice = mutants.filter(({ breaks }, index) => mutants.findIndex((other) => other.breaks === breaks) < index)
  refuse(twice.map((mutant) => ({ mutant, message: "another mutant says the same" })))
  const results = mutants.map(apply)
  refuse(results.filter((result): result is Problem => "message" in result))
  return new Map(
    results.filter((result): result is Mutation => "text" in result).map((mutation) => [mutation.mutant, mutation])
  )
}

const chosen = (): ReadonlyArray<Mutant> => {
  if (!options.changed && options.sample === undefined) {
    return choose(mutants, { words, since: undefined, sample: Infinity, seed: "" })
  }
  const since = options.changed ? options.base ?? defaultBase() : undefined
  const sample = Number(options.sample ?? 0)
  const some = choose(mutants, { words, since, sample, seed: options.seed })
  const changed = since === undefined ? "" : ` --changed --base ${since}`
  print(`${some.length} of ${mutants.length} mutants. To run the same ones again:`)
  print(`npm run test:mutants --${changed} --sample ${sample} --seed ${options.seed} ${words.join(" ")}\n`)
  if (options.changed && since === undefined) {
    print("This clone has no commit to compare with: nothing counts as changed.\n")
  }
  return some
}

const run = async (mutations: ReadonlyArray<Mutation>): Promise<boolean> => {
  const session = new Session(2)
  const alive: Array<Verdict> = []
  const show = ({ killed, mutant, reason, seconds }: Verdict) =>
    print(`${killed ? "killed" : "ALIVE "} ${seconds.toFixed(1).padStart(5)} s  ${mutant.breaks}\n    ${reason}`)
  try {
    await session.prepare(new Set(mutations.flatMap(({ mutant }) => mutant.tests)))
    const notRun = await session.run(mutations, deadline, (verdict) => {
      show(verdict)
      if (!verdict.killed) {
        alive.push(verdict)
      }
    })
    print(`\n${mutations.length - notRun - alive.length} mutants killed, ${alive.length} alive`)
    if (notRun > 0) {
      print(`${notRun} not run: the ${options.minutes} minutes were over`)
    }
    alive.forEach(show)
    return alive.length === 0
  } catch (error) {
    if (error instanceof UnhealthyTests) {
      print(error.message)
      return false
    }
    throw error
  } finally {
    session.close()
  }
}

const mutations = fit()
if (options.check) {
  refuse(compile([...mutations.values()]))
  print(`${mutants.length} mutants fit and compile`)
} else {
  const some = chosen().map((mutant) => mutations.get(mutant)!)
  refuse(compile(some))
  process.exit(await run(some) ? 0 : 1)
}
