/**
 * A number of rows that is written into a statement. The drivers send a parameter of a LIMIT in types that not every database
 * accepts there.
 *
 * @internal
 */

/** Throws if the number is no integer from 1 on. @internal */
export const limitOf = (operation: string, option: string, value: number): number => {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(
      `Outbox.${operation} needs an integer of at least 1 as its option \`${option}\`, and got ${value}`
    )
  }
  return value
}
