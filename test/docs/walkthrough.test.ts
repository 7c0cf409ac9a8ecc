/**
 * `npm run test:package` follows docs/getting-started.md. This shows that such a walk notices what is not as on the page.
 */
import { expect, it } from "@effect/vitest"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { follow } from "../support/walkthrough.js"

const block = (kind: string, text: string) => `\`\`\`${kind}\n${text}\n\`\`\`\n\n`

/** Follows a page, and returns its last folder, or why the walk has failed. */
const walk = async (...blocks: ReadonlyArray<string>): Promise<string> => {
  const directory = mkdtempSync(join(tmpdir(), "airlock-walk-"))
  try {
    writeFileSync(join(directory, "page.md"), blocks.join("Then:\n\n"))
    const end = await follow(join(directory, "page.md"), directory, (page) => page.replace("ONE", "one"))
    return end.slice(directory.length)
  } catch (error) {
    return (error as Error).message
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const server = (text: string) =>
  block("sh server", `node -e 'console.log(${JSON.stringify(text)}); setInterval(() => {}, 1000)'`)

it("a walk creates files, runs commands in the folder of the ones before, and leaves a server running", async () => {
  const end = await walk(
    block("sh", "mkdir shop\ncd shop"),
    block("json data.json", "{ \"a\": 1 }"),
    block("sh", "echo ONE\ncat data.json\ndate +%H:%M:%S"),
    block("text", "one\n{ \"a\": 1 }\n10:20:30"),
    server("up at 11:22:33\nready"),
    block("text server", "up at 10:20:30"),
    block("sh", "echo a\necho b\necho c"),
    block("text", "...\nc"),
    block("text server", "ready"),
    server("up again"),
    block("text server", "...\nup again")
  )
  expect(end).toBe("/shop")
})

it("a walk notices a command that fails, another output, and less or more of a server's output", async () => {
  expect(await walk(block("sh", "false\ntrue"))).toContain("ended with")
  expect(await walk(block("sh", "echo one\necho two"), block("text", "one"))).toContain("A command printed")
  expect(await walk(block("sh", "echo one"), block("text", "one\ntwo"))).toContain("A command printed")
  expect(await walk(block("sh server", "echo down"), block("text server", "up"))).toContain("The server shows")
  expect(await walk(server("up\nmail to eve"), block("text server", "up"))).toContain("The server also shows")
})
