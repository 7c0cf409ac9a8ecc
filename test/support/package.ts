/**
 * `npm run test:package`: packs the library, checks the tarball, and follows docs/getting-started.md with it in an empty
 * folder, as a new user would (with the SQLite driver as it is on npm). Then it compiles and runs README's example in that
 * project: under `nodenext` by Node itself, and under a bundler's resolution as one bundled file.
 */
import { build } from "esbuild"
import { execFileSync, spawnSync } from "node:child_process"
import { once } from "node:events"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { readmeExample, runReadmeExample } from "./readme.js"
import { follow } from "./walkthrough.js"

const run = (directory: string, command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { cwd: directory, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0)
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

const root = mkdtempSync(join(tmpdir(), "airlock-package-"))
try {
  const [packed] = JSON.parse(run(".", "npm", "pack", "--json", "--pack-destination", root)) as [
    { filename: string }
  ]
  const tarball = join(root, packed.filename)
  run(".", "npx", "publint", "run", tarball, "--strict")
  say("publint: the tarball is well made")
  run(".", "npx", "attw", tarball, "--profile", "esm-only")
  say("are-the-types-wrong: the types are right")

  const port = await freePort()
  const shop = await follow(
    "docs/getting-started.md",
    root,
    (page) => page.replace("npm install effect-airlock ", `npm install ${tarball} `).replaceAll("3000", `${port}`)
  )
  const [, error] = readFileSync("docs/getting-started.md", "utf8").match(/^```console\n(.*)\n```$/m)!
  const code = readFileSync(join(shop, "shop.ts"), "utf8")
  writeFileSync(join(shop, "shop.ts"), code.replace(/^ *Layer.provide\(HttpMiddleware.airlockApi\)\n/m, ""))
  const { stdout } = spawnSync("npx", ["tsc"], { cwd: shop, encoding: "utf8" })
  if (!stdout.includes(error!)) {
    throw new Error(`Without a scope, docs/getting-started.md shows\n${error}\nand TypeScript says\n${stdout}`)
  }
  writeFileSync(join(shop, "shop.ts"), code)
  say("docs/getting-started.md leads from an empty folder to what it shows")

  const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    devDependencies: Record<string, string>
  }
  const packages = ["@effect/sql-pg", "@effect/sql-mysql2", "@effect/experimental"]
  run(
    shop,
    "npm",
    "install",
    "--no-fund",
    "--no-audit",
    "--loglevel=error",
    "@types/ws@8",
    ...packages.map((name) => `${name}@${devDependencies[name]!}`)
  )

  // Inside of the shop, where it finds the packages.
  const project = join(shop, "readme")
  mkdirSync(project)
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
  rmSync(root, { recursive: true, force: true })
}
