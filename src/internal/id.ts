/**
 * UUIDs of version 7 (RFC 9562, section 5.7), made fast: 48 bits of milliseconds, a counter of 26 bits that keeps those
 * of one millisecond in order (method 1 of section 6.2), and 48 random bits that are drawn anew for each millisecond.
 *
 * @internal
 */
import { globalValue } from "effect/GlobalValue"
import type { IntentId } from "../Intent.js"

const hex = Array.from({ length: 4096 }, (_, i) => i.toString(16).padStart(3, "0"))

/** One for all copies of the package: their ids must not collide either. */
const state = globalValue(Symbol.for("effect-airlock/id"), () => ({
  millis: -1,
  /** The 26 bits: those above the lowest 12 are in `head` already. */
  counter: 0,
  time: "",
  head: "",
  tail: "",
  /** Drawn for many milliseconds at once: each call into the system costs more than all the rest of an id. */
  random: new Uint16Array(3 * 256),
  drawn: 3 * 256
}))

const beginMillisecond = (millis: number): void => {
  const { random } = state
  if (state.drawn === random.length) {
    globalThis.crypto.getRandomValues(random)
    state.drawn = 0
  }
  const time = millis.toString(16).padStart(12, "0")
  state.millis = millis
  state.counter = 0
  state.time = `${time.slice(0, 8)}-${time.slice(8)}-7`
  state.tail = `-${hex16(random[state.drawn++]!)}${hex16(random[state.drawn++]!)}${hex16(random[state.drawn++]!)}`
  beginBlock()
}

const hex16 = (bits: number): string => hex[bits >>> 4]! + hex[bits & 0xf]![2]

/** The version and the 12 high bits of the counter; the variant and the next 2. */
const beginBlock = (): void => {
  state.head = `${state.time}${hex[state.counter >>> 14]}-${"89ab"[(state.counter >>> 12) & 3]}`
}

/**
 * Never sorts before an id that this process made earlier, even if the clock goes back.
 *
 * @internal
 */
export const makeId = (millis: number): IntentId => {
  if (millis > state.millis) {
    beginMillisecond(millis)
  } else if (++state.counter === 0x4000000) {
    beginMillisecond(state.millis + 1)
  } else if ((state.counter & 0xfff) === 0) {
    beginBlock()
  }
  return state.head + hex[state.counter & 0xfff] + state.tail as IntentId
}
