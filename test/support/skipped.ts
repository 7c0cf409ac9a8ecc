/**
 * Prints at the end of a run how many tests were skipped, so that a run without servers does not look complete.
 */
import type { Reporter, TestModule } from "vitest/node"

export default class Skipped implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests("skipped")])
    if (skipped.length > 0) {
      console.warn(
        `\n${skipped.length} TESTS WERE SKIPPED: the servers that they need did not answer. ` +
          "CONTRIBUTING.md says which; AIRLOCK_TEST_REQUIRE=all makes it a failure.\n"
      )
    }
  }
}
