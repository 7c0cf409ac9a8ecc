/** Chooses which mutants to run: all of them, or those of what changed and a sample of the others. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import type { Mutant } from "../mutant.js"

export interface Choice {
  /** Only mutants that have one of these words in their file or in what they break. */
  readonly words: ReadonlyArray<string>
  /** Run the mutants of what changed since this commit. */
  readonly since: string | undefined
  /** How many of the other mutants to run. */
  readonly sample: number
  readonly seed: string
}

/** The chosen mutants, those of what changed first. */
export const choose = (
  mutants: ReadonlyArray<Mutant>,
  { sample, seed, since, words }: Choice
): ReadonlyArray<Mutant> => {
  const eligible = shuffle(
    mutants.filter(({ breaks, file }) =>
      words.length === 0 || words.some((word) => `${breaks} ${file}`.includes(word))
    ),
    seed
  )
  const changed = since === undefined ? [] : changedMutants(eligible, since)
  return [...changed, ...eligible.filter((mutant) => !changed.includes(mutant)).slice(0, sample)]
}

/** Where a mutant stands depends on the seed and its text only: new mutants do not move the others. */
const shuffle = (mutants: ReadonlyArray<Mutant>, seed: string): ReadonlyArray<Mutant> => {
  const place = ({ breaks }: Mutant) => createHash("sha256").update(`${seed}\n${breaks}`).digest("hex")
  return [...mutants].sort((a, b) => place(a) < place(b) ? -1 : 1)
}

/** Mutants of files that changed, then mutants that are new or whose tests changed. */
const changedMutants = (mutants: ReadonlyArray<Mutant>, since: string): ReadonlyArray<Mutant> => {
  const files = new Set(git("diff", "--name-only", "--no-renames", since).split("\n"))
  const added = git("diff", "--unified=0", since, "--", "test/mutants").split("\n").filter((line) =>
    line.startsWith("+")
  )
  const ofFiles = mutants.filter(({ file }) => files.has(file))
  const ofTests = mutants.filter(({ breaks, tests }) =>
    tests.some((test) => files.has(test)) || added.some((line) => line.includes(JSON.stringify(breaks)))
  )
  return [...new Set([...ofFiles, ...ofTests])]
}

/**
 * The commit since which changes count. On a branch: where it left the main branch. On the main branch itself, where nothing
 * tells which commits arrived together: the newest commit that is a day older than the last one, or else the first commit.
 * A clone without history has no such commit.
 */
export const defaultBase = (): string | undefined => {
  const [head, committedAt] = tryGit("log", "-1", "--format=%H %ct")?.split(" ") ?? []
  const branchedAt = tryGit("merge-base", "HEAD", "origin/HEAD") ?? tryGit("merge-base", "HEAD", "origin/main")
  if (branchedAt !== undefined && branchedAt !== head) {
    return branchedAt
  }
  return tryGit("rev-list", "-1", `--before=${Number(committedAt) - 24 * 60 * 60}`, "HEAD") ??
    tryGit("rev-list", "-1", "--max-parents=0", "HEAD~1")
}

const git = (...args: ReadonlyArray<string>): string => execFileSync("git", args, { encoding: "utf8" })

const tryGit = (...args: ReadonlyArray<string>): string | undefined => {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim() || undefined
  } catch {
    return undefined
  }
}
