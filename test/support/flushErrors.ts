import type { AirlockError } from "effect-airlock"

/** Why intents did not leave: the tag of each failure's reason, in order. */
export const reasonsIn = (error: AirlockError.FlushError): ReadonlyArray<string> =>
  error.failures.map(({ reason }) => reason._tag)
