// `require` would load a second copy of Effect beside the one of CommonJS. Then no service and no FiberRef is shared.
throw new Error(
  "effect-airlock is ESM only, and cannot be loaded by require(). Use `import`: with \"type\": \"module\" in package.json, " +
    "in a file .mjs or .mts, or by `await import(\"effect-airlock\")` in an application that imports Effect in the same way."
)
