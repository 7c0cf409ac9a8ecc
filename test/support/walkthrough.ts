/**
 * Follows a page of the docs as a new user does: creates its files, runs its commands as printed, and compares their output
 * with that of the page.
 *
 * | block                    | what happens                                                                              |
 * | ------------------------ | ----------------------------------------------------------------------------------------- |
 * | `ts shop.ts`, `json ...` | becomes a file                                                                            |
 * | `sh`                     | runs to its end, in the folder to which the blocks before it have changed                 |
 * | `text`                   | is the whole output of the `sh` block before it                                           |
 * | `sh server`              | is stopped with Ctrl+C if one runs, and keeps running in a terminal of its own            |
 * | `text server`            | is what that terminal shows next                                                          |
 *
 * In an output, `...` stands for any lines. Ids, times and durations may differ, and so may blank lines at its beginning and end.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

interface Block {
  readonly kind: string
  /** What follows the kind: the name of a file, or `server`. */
  readonly name: string
  readonly text: string
}

const blocksOf = (page: string): ReadonlyArray<Block> =>
  [...page.matchAll(/^```(\w+)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map(([, kind, name = "", text]) => ({
    kind: kind!,
    name,
    text: text!
  }))

/** Replaces what differs from run to run. */
const settled = (output: string): string =>
  output
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g, "<id>")
    .replaceAll(/\d\d:\d\d:\d\d(\.\d{3})?/g, "<time>")
    .replaceAll(/\(#\d+\)/g, "(#<fiber>)")
    .replaceAll(/\b\d+(\.\d+)?m?s( \d+ms)?\b/g, "<duration>")

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** The lines of an expected output as a regular expression. */
const patternOf = (expected: string): string =>
  settled(expected).trim().split("\n").map((line) => line === "..." ? "(?:.*\\n)*?" : `${escaped(line)}\\n`).join("")

/** How long a command, or a line of the server, may take. npm may have to build the SQLite driver. */
const patience = { command: 1_200_000, line: 120_000 }

class Server {
  private output = ""
  private errors = ""
  private mayShowMore = false
  private tell = () => {}
  private readonly closed: Promise<unknown>
  constructor(private readonly child: ChildProcess) {
    this.closed = once(child, "close")
    child.stdout!.on("data", (chunk) => {
      this.output += chunk
      this.tell()
    })
    child.stderr!.on("data", (chunk) => this.errors += chunk)
  }
  /** Waits until the output goes on as expected. */
  async shows(expected: string): Promise<void> {
    const pattern = new RegExp(`^\\n*${patternOf(expected)}`)
    await new Promise<void>((resolve, reject) => {
      const fail = () => reject(new Error(`The server shows\n${this.output}\nand not\n${expected}\n${this.errors}`))
      const timeout = setTimeout(fail, patience.line)
      void this.closed.then(fail)
      this.tell = () => {
        const output = settled(this.output)
        const [seen] = output.match(pattern) ?? []
        if (seen !== undefined) {
          clearTimeout(timeout)
          this.output = output.slice(seen.length)
          this.mayShowMore = expected.trimEnd().endsWith("\n...")
          resolve()
        }
      }
      this.tell()
    })
    this.tell = () => {}
  }
  /** Ctrl+C: the signal goes to all processes of the terminal. It must not have shown more than the page says. */
  async stop(): Promise<void> {
    process.kill(-this.child.pid!, "SIGINT")
    await this.closed
    if (!this.mayShowMore && this.output.trim() !== "") {
      throw new Error(`The server also shows\n${this.output}`)
    }
  }
  /** For a walk that has failed. */
  kill(): void {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      process.kill(-this.child.pid!, "SIGKILL")
    }
  }
}

/**
 * Follows a page in an empty folder. Returns the folder in which the walk has ended.
 *
 * `replace` changes what cannot be as printed, such as the name of a package that is not in a registry yet.
 */
export const follow = async (
  page: string,
  directory: string,
  replace: (text: string) => string
): Promise<string> => {
  // `npm run --silent` would make npm silent on the page, too.
  const env = { ...process.env, npm_config_loglevel: undefined, NO_COLOR: "1", FORCE_COLOR: undefined }
  let folder = directory
  let printed = ""
  let server: Server | undefined
  try {
    for (const { kind, name, text } of blocksOf(replace(readFileSync(page, "utf8")))) {
      if (kind === "sh" && name === "server") {
        await server?.stop()
        server = new Server(spawn("bash", ["-c", text], { cwd: folder, env, detached: true }))
      } else if (kind === "sh") {
        const end = "-- ended in "
        const { error, status, stderr, stdout } = spawnSync(
          "bash",
          ["-c", `set -e\n${text}\nprintf '\\n${end}%s' "$PWD"`],
          { cwd: folder, env, encoding: "utf8", timeout: patience.command }
        )
        if (status !== 0) {
          throw new Error(`${text}\nended with ${error ?? status}:\n${stdout}\n${stderr}`)
        }
        const at = stdout.lastIndexOf(end)
        printed = stdout.slice(0, at)
        folder = stdout.slice(at + end.length)
      } else if (kind === "text" && name === "server") {
        await server!.shows(text)
      } else if (kind === "text") {
        if (!new RegExp(`^${patternOf(text)}$`).test(`${settled(printed).trim()}\n`)) {
          throw new Error(`A command printed\n${printed}\nand not\n${text}`)
        }
      } else if (name !== "") {
        writeFileSync(join(folder, name), text)
      }
    }
    await server?.stop()
    return folder
  } finally {
    server?.kill()
  }
}
