/**
 * What an engine would store of a value, at the time of the call: the caller may change the value later.
 *
 * @internal
 */
export const snapshot = (value: unknown): unknown => {
  const text: string | undefined = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}
