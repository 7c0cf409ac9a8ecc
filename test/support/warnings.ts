import { Context, Effect, Layer, Logger, LogLevel } from "effect"

/** The messages of all warnings so far. */
export class Warnings extends Context.Tag("test/Warnings")<Warnings, Array<string>>() {}

export const warnings = Effect.map(Warnings, (messages) => [...messages])

/** Records warnings instead of printing log lines. */
export const recordWarnings = Layer.unwrapEffect(Effect.map(Warnings, (messages) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
        messages.push([message].flat().join(" "))
      }
    })
  ))).pipe(Layer.provideMerge(Layer.sync(Warnings, () => [])))
