/**
 * Where the user's code called us. Capturing a stack costs more than the enqueue itself, so it is done only where an
 * error is already in sight.
 *
 * @internal
 */

interface V8Error {
  stackTraceLimit?: number
  readonly captureStackTrace?: (target: object, above: (...args: Array<never>) => unknown) => void
}

/** The frame that called `above`, such as `at checkout (src/orders.ts:12:5)`. @internal */
export const callSite = (above: (...args: Array<never>) => unknown): string | undefined => {
  const v8 = Error as ErrorConstructor & V8Error
  const limit = v8.stackTraceLimit ?? 10
  v8.stackTraceLimit = 1
  const holder: { stack?: string } = {}
  v8.captureStackTrace?.(holder, above)
  const frame = holder.stack?.split("\n")[1]?.trim()
  v8.stackTraceLimit = limit
  return frame
}

/**
 * Gives an error the stack of its caller, where that is known: ours, of a run loop, would tell nobody anything.
 *
 * @internal
 */
export const withCallersStack = <E extends Error & { readonly site?: string }>(error: E): E => {
  error.stack = `${error.name}: ${error.message}` + (error.site === undefined ? "" : `\n    ${error.site}`)
  return error
}
