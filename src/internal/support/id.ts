/**
 * Makes UUIDs of version 7 (RFC 9562, section 5.7) quickly: 48 bits of milliseconds, a counter of 26 bits that orders the ids of
 * one millisecond (method 1 of section 6.2), and 48 random bits, which are new for each millisecond.
 *
 * @internal
 */
import { globalValue } from "effect/GlobalValue"
import type { IntentId } from "../../Intent.js"

const hex = Array.from({ length: 4096 }, (_, i) => i.toString(16).padStart(3, "0"))

/** One state for all copies of the package in a process, so that their ids do not collide. */
const state = globalValue(Symbol.for("effect-airlock/id"), () => ({
  millis: -1,
  /** The counter of 26 bits. `head` already contains all but its lowest 12. */
  counter: 0,
  time: "",
  head: "",
  tail: "",
  /** Random numbers for many milliseconds, because one call of the system costs more than all other steps of an id. */
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

/** Sets `head`: the time, the version, the 12 highest bits of the counter, the variant, and the next 2 bits of the counter. */
const beginBlock = (): void => {
  state.head = `${state.time}${hex[state.counter >>> 14]}-${"89ab"[(state.counter >>> 12) & 3]}`
}

/**
 * Makes an id. It sorts after all ids that this process made earlier, even if the clock goes back.
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
