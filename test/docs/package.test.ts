/**
 * Holds package.json, the lock file and the pages that name versions against each other.
 */
import { readFileSync } from "node:fs"
import semver from "semver"
import { describe, expect, it } from "vitest"

interface Package {
  readonly version?: string
  readonly engines?: { readonly node?: string }
}

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  readonly engines: { readonly node: string }
  readonly repository: { readonly url: string }
  readonly homepage: string
  readonly bugs: { readonly url: string }
}

const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
  readonly packages: Readonly<Record<string, Package>>
}

const lowest = semver.minVersion(manifest.engines.node)!

describe("the lowest Node that package.json names", () => {
  it("satisfies the engines of all packages of the lock file", () => {
    const ranges = Object.entries(packages).filter(([, { engines }]) => engines?.node !== undefined)
    expect(ranges.length).toBeGreaterThan(100)
    const unsatisfied = ranges
      .filter(([, { engines }]) => !semver.satisfies(lowest, engines!.node!))
      .map(([name, { engines, version }]) => `${name} ${version} wants Node ${engines!.node}`)
    expect(unsatisfied).toEqual([])
  })

  it.each(["README.md", "CONTRIBUTING.md", "docs/getting-started.md", ".ci/run"])(
    "is the one that %s names",
    (file) => {
      const named = readFileSync(file, "utf8").match(/\bNode \d+(\.\d+)* or later/g) ?? []
      expect(new Set(named)).toEqual(new Set([`Node ${lowest.major}.${lowest.minor} or later`]))
    }
  )

  it("is the one of README's table of supported versions", () => {
    expect(readFileSync("README.md", "utf8")).toMatch(
      new RegExp(`^\\| Node +\\| ${lowest.major}\\.${lowest.minor} and later`, "m")
    )
  })
})

// A registry's page leads README's relative links to the files of this repository.
it("package.json names one repository, in the form that registries read", () => {
  const [, repository] = /^git\+(https:\/\/github\.com\/[\w-]+\/[\w-]+)\.git$/.exec(manifest.repository.url) ?? []
  expect(repository).toBeDefined()
  expect(manifest.homepage).toBe(`${repository}#readme`)
  expect(manifest.bugs.url).toBe(`${repository}/issues`)
})
