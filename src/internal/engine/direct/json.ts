/**
 * What an engine would store of a value, at the time of the call: the caller may change the value later.
 *
 * @internal
 */
export const snapshot = <A>(value: A): A => {
  const text: string | undefined = JSON.stringify(value)
  return text === undefined ? undefined as A : JSON.parse(text)
}
