/**
 * `npm run install:sqlite` puts the real `better-sqlite3` in the place of its stand-in (CONTRIBUTING.md, "The SQLite driver"),
 * for all processes of this repository. npm fetches a prebuilt binary or builds one, which takes a minute or two and a C++
 * toolchain. `npm ci` of the repository puts the stand-in back; the next run of this script only has to link again.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, rmSync, symlinkSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const folder = dirname(fileURLToPath(import.meta.url))
const installed = join(folder, "node_modules/better-sqlite3")
const used = resolve("node_modules/better-sqlite3")

const lock = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as {
  readonly packages: Record<string, { readonly version: string }>
}
const wanted = lock.packages["node_modules/better-sqlite3"]!.version

/** The version that this Node can load from the folder. */
const loads = (): string => {
  try {
    return execFileSync(
      process.execPath,
      [
        "-e",
        "new (require(process.argv[1]))(':memory:').close(); console.log(require(process.argv[1] + '/package.json').version)",
        installed
      ],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }
    ).trim()
  } catch {
    return "none"
  }
}

if (loads() !== wanted) {
  execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts=false"], { cwd: folder, stdio: "inherit" })
  const version = loads()
  if (version !== wanted) {
    throw new Error(`better-sqlite3 ${wanted} is installed in ${folder}, but Node can load: ${version}`)
  }
}

rmSync(used, { recursive: true, force: true })
symlinkSync(relative(dirname(used), installed), used, "junction")
process.stdout.write(`SQLite: better-sqlite3 ${wanted}, in place of its stand-in\n`)
