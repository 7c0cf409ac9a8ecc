/**
 * Prints at the end of a run how many tests were skipped, so that a run does not look complete that lacks a server
 * or the real SQLite driver.
 */
import type { Reporter, TestModule } from "vitest/node"

export default class Skipped implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests("skipped")])
    if (skipped.length > 0) {
      console.warn(
        `\n${skipped.length} TESTS WERE SKIPPED: a server that they need did not answer, or better-sqlite3 is a stand-in. ` +
          "CONTRIBUTING.md says what to do; AIRLOCK_TEST_REQUIRE=all makes it a failure.\n"
      )
    }
  }
}
