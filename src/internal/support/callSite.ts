/**
 * Finds the place at which user code called this package. To capture a stack costs more than an enqueue, so it is done only for
 * an error.
 *
 * @internal
 */

interface V8Error {
  stackTraceLimit?: number | undefined
  prepareStackTrace?: unknown
  readonly captureStackTrace?: (target: object, above: (...args: Array<never>) => unknown) => void
}

/** The frame that called `above`, such as `at checkout (src/orders.ts:12:5)`. @internal */
export const callSite = (above: (...args: Array<never>) => unknown): string | undefined => {
  const v8: V8Error = Error
  const { prepareStackTrace, stackTraceLimit } = v8
  try {
    v8.stackTraceLimit = 1
    const frame = topFrame(v8, above)
    if (frame !== undefined || prepareStackTrace === undefined) {
      return frame
    }
    // The application's own formatter gave no text, or threw. V8 has one too.
    v8.prepareStackTrace = undefined
    return topFrame(v8, above)
  } catch {
    // `Error` is frozen.
    return undefined
  } finally {
    restore(v8, prepareStackTrace === undefined ? { stackTraceLimit } : { prepareStackTrace, stackTraceLimit })
  }
}

const topFrame = (v8: V8Error, above: (...args: Array<never>) => unknown): string | undefined => {
  const holder: { stack?: unknown } = {}
  try {
    v8.captureStackTrace?.(holder, above)
    return typeof holder.stack === "string" ? holder.stack.split("\n")[1]?.trim() : undefined
  } catch {
    return undefined
  }
}

const restore = (v8: V8Error, before: V8Error): void => {
  try {
    Object.assign(v8, before)
  } catch {
    // `Error` is frozen, so nothing has changed.
  }
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
