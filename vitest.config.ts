import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-airlock$/, replacement: at("./src/index.ts") },
      { find: /^effect-airlock\/(.*)$/, replacement: at("./src/$1.ts") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    // For machines that are slow or busy: what hangs takes longer than that.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ["default", at("./test/support/skipped.ts")],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text-summary", "json-summary"],
      thresholds: { lines: 95, functions: 95, branches: 90 }
    }
  }
})
