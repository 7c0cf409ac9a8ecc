/** Runs mutants against their tests, in several copies of the project at once. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import type { Mutant } from "../mutant.js"
import type { Mutation } from "./apply.js"
import { Copy, type Limits } from "./copy.js"

export interface Verdict {
  readonly mutant: Mutant
  readonly killed: boolean
  /** Which test noticed, or why the mutant does not count as killed. */
  readonly reason: string
  readonly seconds: number
}

/** For test files whose time is not known yet: tests may take as long as in any other run. */
const patient: Limits = { testMillis: 30_000, runMillis: 180_000 }

/** The tests fail without any mutant. */
export class UnhealthyTests extends Error {}

export class Session {
  private readonly copies: ReadonlyArray<Copy>
  /** The limits of a test file, from the time that it takes without any mutant: a machine may be slow or busy. */
  private readonly limits = new Map<string, Limits>()

  constructor(workers: number) {
    this.copies = Array.from({ length: workers }, (_, index) => new Copy(`.tmp/mutants-${index}`))
  }

  /** Runs test files without any mutant: a mutant is only noticed by tests that pass without it. */
  async prepare(files: Iterable<string>): Promise<void> {
    await this.forEach(files, async (file, copy) => {
      const { millis, result } = await timed(copy.run([file], patient))
      if (result._tag !== "passed") {
        throw new UnhealthyTests(`${file} does not pass without any mutant: ${JSON.stringify(result)}`)
      }
      this.limits.set(file, {
        testMillis: Math.max(10_000, Math.ceil(4 * result.slowestTestMillis)),
        runMillis: 60_000 + 4 * millis
      })
    })
  }

  /** Tries the mutants until the deadline, and gives the number of those that were not begun. */
  async run(
    mutations: ReadonlyArray<Mutation>,
    deadline: number,
    report: (verdict: Verdict) => void
  ): Promise<number> {
    let left = mutations.length
    await this.forEach(mutations, async (mutation, copy) => {
      if (Date.now() < deadline) {
        left--
        report(await this.verdict(mutation, copy))
      }
    })
    return left
  }

  close(): void {
    this.copies.forEach((copy) => copy.close())
  }

  private async verdict({ mutant, text }: Mutation, copy: Copy): Promise<Verdict> {
    const { file, hangs, tests } = mutant
    const limits = tests.map((test) => this.limits.get(test) ?? patient)
    const testMillis = Math.max(...limits.map(({ testMillis }) => testMillis))
    const runMillis = limits.reduce((sum, { runMillis }) => sum + runMillis, 0)
    const { millis, result } = await timed(copy.run(tests, { testMillis, runMillis }, { file, text }))
    const verdict = (killed: boolean, reason: string): Verdict => ({ mutant, killed, reason, seconds: millis / 1000 })
    switch (result._tag) {
      case "failed":
        return verdict(true, `${result.test}: ${result.error.split("\n")[0]!.slice(0, 100)}`)
      case "crashed":
        return verdict(false, `crashes, which proves nothing: ${result.why}`)
      case "hung":
        return hangs === true
          ? verdict(true, "loops for ever")
          : verdict(false, `no end within ${Math.round(runMillis / 1000)} s. If it loops for ever, say \`hangs: true\``)
      case "passed": {
        const other = await this.noticedElsewhere(mutant, text, copy)
        return verdict(false, other === undefined ? "no test notices" : `its tests do not notice, but ${other} does`)
      }
    }
  }

  /** Which other test file notices, for whoever names the tests of the mutant. */
  private async noticedElsewhere({ file, tests }: Mutant, text: string, copy: Copy): Promise<string | undefined> {
    for (const test of allTests.filter((test) => !tests.includes(test))) {
      const result = await copy.run([test], patient, { file, text })
      if (result._tag === "failed") {
        return test
      }
    }
    return undefined
  }

  private async forEach<A>(items: Iterable<A>, each: (item: A, copy: Copy) => Promise<void>): Promise<void> {
    const queue = [...items]
    await Promise.all(this.copies.map(async (copy) => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
        await each(item, copy)
      }
    }))
  }
}

/** Tests of examples, of load and of pages start processes that do not see a mutant, or take long. */
const allTests = readdirSync("test", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.ts") && !/^(docs|examples|mutants)\/|load\.test/.test(name))
  .map((name) => join("test", name))

const timed = async <A>(promise: Promise<A>): Promise<{ readonly result: A, readonly millis: number }> => {
  const started = performance.now()
  const result = await promise
  return { result, millis: performance.now() - started }
}
