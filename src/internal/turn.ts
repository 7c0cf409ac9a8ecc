/**
 * Tells whether other code can have run since an earlier moment: within one turn of the event loop's microtasks, only
 * what was called directly has.
 *
 * @internal
 */
import { globalValue } from "effect/GlobalValue"

const turns = globalValue(Symbol.for("effect-airlock/turns"), () => ({ current: 0, watching: false }))

/**
 * The present turn. The microtask that ends it is queued here, so ahead of any that the caller's code queues after.
 *
 * @internal
 */
export const currentTurn = (): number => {
  if (!turns.watching) {
    turns.watching = true
    queueMicrotask(() => {
      turns.watching = false
      turns.current++
    })
  }
  return turns.current
}
