/**
 * Finds the place at which user code called this package. To capture a stack costs more than an enqueue, so it is done only for
 * an error.
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
 * Replaces the stack of an error by the call site, if the error has one. Its own stack shows only Effect's run loop.
 *
 * @internal
 */
export const withCallersStack = <E extends Error & { readonly site?: string }>(error: E): E => {
  error.stack = `${error.name}: ${error.message}` + (error.site === undefined ? "" : `\n    ${error.site}`)
  return error
}
