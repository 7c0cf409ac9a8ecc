/** A copy of the project to change and test, so that nothing else sees the changes. */
import { type ChildProcess, fork } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import type { Outcome, Request } from "./worker.js"

const parts = ["src", "test", "docs", "examples", "package.json", "tsconfig.json", "vitest.config.ts"]

export interface Limits {
  /** How long one test may take. */
  readonly testMillis: number
  /** How long all of them may take, even if one loops for ever. */
  readonly runMillis: number
}

export class Copy {
  private worker: ChildProcess | undefined

  constructor(private readonly directory: string) {
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
    for (const name of parts) {
      cpSync(name, join(directory, name), { recursive: true })
    }
    symlinkSync(resolve("node_modules"), join(directory, "node_modules"))
  }

  /** Runs test files, with another text in one file. */
  async run(
    tests: ReadonlyArray<string>,
    limits: Limits,
    change?: { readonly file: string, readonly text: string }
  ): Promise<Outcome | { readonly _tag: "hung" }> {
    const { runMillis, testMillis } = limits
    if (change === undefined) {
      return this.ask({ tests, changed: undefined, testMillis }, runMillis)
    }
    const path = join(this.directory, change.file)
    const original = readFileSync(path)
    writeFileSync(path, change.text)
    try {
      return await this.ask({ tests, changed: change.file, testMillis }, runMillis)
    } finally {
      writeFileSync(path, original)
    }
  }

  close(): void {
    this.end()
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }

  private ask(request: Request, limitMillis: number): Promise<Outcome | { readonly _tag: "hung" }> {
    const worker = this.worker?.connected === true ? this.worker : this.start()
    this.worker = worker
    return new Promise((resolve) => {
      const end = (outcome: Outcome | { readonly _tag: "hung" }) => {
        clearTimeout(timer)
        worker.removeAllListeners()
        resolve(outcome)
      }
      const timer = setTimeout(() => {
        this.end()
        end({ _tag: "hung" })
      }, limitMillis)
      worker.on("message", (outcome: Outcome) => end(outcome))
      worker.on("exit", (code) => {
        this.worker = undefined
        end({ _tag: "crashed", why: `the test runner exited with ${code}` })
      })
      worker.send(request)
    })
  }

  private start(): ChildProcess {
    return fork(new URL("./worker.ts", import.meta.url), {
      cwd: this.directory,
      // Fewer programs than usual: what the models notice at all, they notice soon.
      env: { ...process.env, CI: "true", AIRLOCK_TEST_REQUIRE: "all", AIRLOCK_MODEL_SQL_RUNS: "100" },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      // A process group of its own: a mutant may loop for ever in a process that Vitest cannot end.
      detached: true
    })
  }

  private end(): void {
    const pid = this.worker?.pid
    this.worker = undefined
    if (pid !== undefined) {
      try {
        process.kill(-pid, "SIGKILL")
      } catch {
        // It has ended.
      }
    }
  }
}
