/**
 * `npm run test:package`: packs the library, checks the tarball, installs it in a new project as a user would (with the
 * SQLite driver as it is on npm), and compiles and runs README's example there: under `nodenext` by Node itself, and under a
 * bundler's resolution as one bundled file.
 */
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { readmeExample, runReadmeExample } from "./readme.js"

const run = (directory: string, command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { cwd: directory, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const project = mkdtempSync(join(tmpdir(), "airlock-package-"))
try {
  const [packed] = JSON.parse(run(".", "npm", "pack", "--json", "--pack-destination", project)) as [
    { filename: string }
  ]
  const tarball = join(project, packed.filename)
  run(".", "npx", "publint", "run", tarball, "--strict")
  say("publint: the tarball is well made")
  run(".", "npx", "attw", tarball, "--profile", "esm-only")
  say("are-the-types-wrong: the types are right")

  const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    devDependencies: Record<string, string>
  }
  const version = (name: string) => [name, devDependencies[name]!] as const
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({
      private: true,
      type: "module",
      dependencies: {
        "effect-airlock": `file:${tarball}`,
        ...Object.fromEntries([
          "effect",
          "@effect/platform",
          "@effect/platform-node",
          "@effect/sql",
          "@effect/sql-sqlite-node",
          "@effect/sql-pg",
          "@effect/sql-mysql2",
          "@effect/experimental",
          "@effect/vitest",
          "vitest",
          "typescript",
          "@types/node"
        ].map(version)),
        "@types/ws": "8"
      }
    })
  )
  run(project, "npm", "install", "--no-fund", "--no-audit", "--loglevel", "error")

  for (const name of ["src", "test", "tsconfig.json", "vitest.config.ts"]) {
    cpSync(name, join(project, "repository", name), {
      recursive: true,
      filter: (path) => basename(path) !== "node_modules"
    })
  }
  run(join(project, "repository"), "npx", "vitest", "run", "test/SqlTransaction.test.ts")
  say("the tests of SQL transactions pass on the driver as it is on npm")

  writeFileSync(join(project, "main.ts"), readmeExample())
  const compilerOptions = { strict: true, exactOptionalPropertyTypes: true, target: "ES2022", types: ["node"] }
  const runExample = async (file: string): Promise<void> => {
    const { id, receipts, status } = await runReadmeExample(project, "node", file)
    if (status !== 200 || receipts.join() !== `${id - 2},${id}`) {
      throw new Error(`README's example: status ${status}, order ${id}, receipts of the orders ${receipts.join(", ")}`)
    }
  }

  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { ...compilerOptions, module: "nodenext", outDir: "nodenext" },
      files: ["main.ts"]
    })
  )
  run(project, "npx", "tsc", "-p", ".")
  await runExample("nodenext/main.js")
  say("README's example runs, compiled under nodenext")

  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { ...compilerOptions, module: "esnext", moduleResolution: "bundler", noEmit: true },
      files: ["main.ts"]
    })
  )
  run(project, "npx", "tsc", "-p", ".")
  await build({
    absWorkingDir: project,
    entryPoints: ["main.ts"],
    outfile: join(project, "bundle.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["better-sqlite3"],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: "error"
  })
  await runExample("bundle.mjs")
  say("README's example runs, bundled under a bundler's resolution")
} finally {
  rmSync(project, { recursive: true, force: true })
}
