/**
 * Holds docs/architecture.md against the source, and the linter against the arrows of its picture.
 */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))
const page = readFileSync(join(root, "docs/architecture.md"), "utf8")

const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".ts")
)

/** The modules of each group of the page's table. */
const groups = new Map(
  [...page.matchAll(/^\| (vocabulary|core|adapters|testing) +\| (.*?) +\|/gm)].map(([, group, modules]) => [
    group!,
    [...modules!.matchAll(/`([\w/]+)`/g)].map(([, module]) => `${module}.ts`)
  ])
)

const roomOf = (file: string): string =>
  /^internal\/(\w+)\//.exec(file)?.[1] ?? [...groups].find(([, modules]) => modules.includes(file))?.[0] ?? file

const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(join(root, "src", file), "utf8").matchAll(/^(?:import|export|\}).* from "(\.[^"]+)\.js"$/gm)].map((
    [, path]
  ) => relative(join(root, "src"), join(root, "src", dirname(file), `${path}.ts`)))

/** Every arrow between two rooms, without those into the base. */
const arrows = new Set(
  sources.filter((file) => file !== "index.ts").flatMap((file) =>
    importsOf(file).map((imported) => [roomOf(file), roomOf(imported)] as const)
  ).filter(([from, to]) => from !== to && !["vocabulary", "contract", "support"].includes(to)).map((arrow) =>
    arrow.join(" --> ")
  )
)

describe("docs/architecture.md", () => {
  it("draws every import between rooms, and no other arrow", () => {
    const drawn = [...page.matchAll(/^ {2}(\w+ --> \w+)$/gm)].map(([, arrow]) => arrow!)
    expect(drawn.length).toBeGreaterThan(10)
    expect(drawn.sort()).toEqual([...arrows].sort())
  })

  it("says truly that the base imports only the base, and contract and the vocabulary less than that", () => {
    const imported = (room: string) =>
      new Set(
        sources.filter((file) => roomOf(file) === room).flatMap(importsOf).map(roomOf).filter((to) => to !== room)
      )
    expect([...imported("vocabulary")]).toEqual(["support"])
    // Of the support, the vocabulary imports one file, which imports nothing of the vocabulary.
    const imports = sources.filter((file) => roomOf(file) === "vocabulary").flatMap(importsOf)
    expect(new Set(imports.filter((file) => roomOf(file) === "support"))).toEqual(
      new Set(["internal/support/printError.ts"])
    )
    expect(importsOf("internal/support/printError.ts")).toEqual(["internal/support/effectInternals.ts"])
    expect(importsOf("internal/support/effectInternals.ts")).toEqual([])
    expect([...imported("contract")]).toEqual(["vocabulary"])
    expect([...imported("support")]).toEqual(["vocabulary"])
  })

  it("names every public module and every file of every room", () => {
    const named = new Map<string, Set<string>>()
    let room = ""
    for (const [, first, files] of page.matchAll(/^\| (`[\w/]+`|) +\| (`\w+`.*?) +\|/gm)) {
      room = first === "" ? room : first!.slice(1, -1)
      const ofRoom = named.get(room) ?? new Set()
      named.set(room, ofRoom)
      for (const [, file] of files!.matchAll(/`(\w+)`/g)) {
        ofRoom.add(file!)
      }
    }
    const ofRooms = [...named].flatMap(([room, files]) => [...files].map((file) => `internal/${room}/${file}.ts`))
    const all = ["index.ts", ...[...groups.values()].flat(), ...ofRooms]
    expect(all.sort()).toEqual(sources.sort())
  })

  it("lists files that exist on both ways, each once", () => {
    for (const [, list] of page.matchAll(/^## From an? ?[\s\S]*?\n((?:\d+\. .*\n(?: {3}.*\n)*)+)/gm)) {
      const files = [...list!.matchAll(/^\d+\. `([\w/.]+)`/gm)].map(([, file]) => file!)
      expect(files.length).toBeGreaterThan(5)
      expect(files.filter((file) => !existsSync(join(root, "src", file)))).toEqual([])
      expect(new Set(files).size).toBe(files.length)
    }
  })

  it("answers its questions with names that stand where it says", () => {
    const answers = [...page.matchAll(/`(\w+)` in \[[\w/.]+\]\(\.\.\/([\w/.]+)\)/g)]
    expect(answers.length).toBeGreaterThan(3)
    for (const [, name, file] of answers) {
      expect(readFileSync(join(root, file!), "utf8")).toMatch(new RegExp(`^(export )?(const|type) ${name}\\b`, "m"))
    }
  })
})

describe("npm run lint", () => {
  /** What the linter says of the source with one more import in a file. */
  const lintWith = (file: string, line: string): string => {
    const copy = mkdtempSync(join(tmpdir(), "airlock-lint-"))
    cpSync(join(root, "src"), join(copy, "src"), { recursive: true })
    for (const file of [".oxlintrc.json", "tsconfig.json", "package.json"]) {
      cpSync(join(root, file), join(copy, file))
    }
    const path = join(copy, "src", file)
    writeFileSync(path, `${line}\n${readFileSync(path, "utf8")}`)
    try {
      const oxlint = join(root, "node_modules/oxlint/bin/oxlint")
      execFileSync("node", [oxlint, "--deny-warnings", "src"], { cwd: copy, stdio: "pipe" })
      return "no error"
    } catch (error) {
      return String((error as { readonly stdout: Buffer }).stdout)
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  }

  it("passes the source as it is", () => {
    expect(lintWith("internal/scope/fork.ts", "")).toBe("no error")
  })

  it("fails on a cycle, of types too", () => {
    const said = lintWith("internal/scope/fork.ts", "import type { Scope } from \"./scope.js\"\nexport type S = Scope")
    expect(said).toContain("Dependency cycle detected")
  })

  const wrong: Record<string, readonly [string, string]> = {
    "from the scope to the handlers": ["internal/scope/view.ts", "import \"../handler/lanes.js\""],
    "from the handlers to an executor": ["internal/handler/lanes.ts", "import \"../executor/make.js\""],
    "from the base to a room": ["internal/support/groupBy.ts", "import \"../telemetry/spans.js\""],
    "from the outbox to HTTP": ["internal/outbox/notifier.ts", "import \"../http/responseHook.js\""],
    "from a room to a public module above it": ["internal/scope/cascade.ts", "import \"../../Executor.js\""],
    "from the core to an adapter's room": ["Task.ts", "import \"./internal/transaction/driver.js\""],
    "from the vocabulary to a room": ["Plan.ts", "import \"./internal/support/id.js\""],
    "from the core to SQL": ["internal/scope/cascade.ts", "import \"@effect/sql/SqlClient\""]
  }
  for (const [name, [file, line]] of Object.entries(wrong)) {
    it(`fails on an arrow ${name}`, () => {
      expect(lintWith(file, line)).toContain("no-restricted-imports")
    })
  }
})
