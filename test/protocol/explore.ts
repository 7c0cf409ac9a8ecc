/**
 * Visits every state that the model can reach.
 */
import { type Action, initial, nameOf, type Options, type State, stepsOf } from "./model.js"

export interface Visited {
  readonly state: State
  /** The step that led here first, and from where. */
  readonly from: { readonly action: Action, readonly parent: Visited } | undefined
  /** The steps from here. */
  readonly next: Array<{ readonly action: Action, readonly to: Visited }>
}

/** All states, each with a shortest way to it. Throws if there are more than the limit. */
export const explore = (options: Options, limit = 2_000_000): ReadonlyArray<Visited> => {
  const first: Visited = { state: initial(options), from: undefined, next: [] }
  const seen = new Map<string, Visited>([[keyOf(first.state), first]])
  const all = [first]
  for (const visited of all) {
    for (const { action, next } of stepsOf(visited.state, options)) {
      const key = keyOf(next)
      const known = seen.get(key)
      const to = known ?? { state: next, from: { action, parent: visited }, next: [] }
      visited.next.push({ action, to })
      if (known === undefined) {
        if (all.length === limit) {
          throw new Error(`There are more than ${limit} states`)
        }
        seen.set(key, to)
        all.push(to)
      }
    }
  }
  return all
}

/** A text that only equal states have. */
const keyOf = ({ faults, history, relays, rows, sessions, writers }: State): string => {
  const values = (of: object) => Object.values(of).join()
  const relaysText = relays.map(({ isAlive, isCutOff, session, work }) =>
    `${isAlive},${isCutOff},${session},${work.map((one) => one === null ? "" : values(one)).join(";")}`
  )
  return [faults, ...sessions, "", ...[...rows, ...writers, ...history].map(values), ...relaysText].join("|")
}

/** A shortest way to a state. */
export const wayTo = (visited: Visited): ReadonlyArray<Action> => {
  const way: Array<Action> = []
  for (let at = visited; at.from !== undefined; at = at.from.parent) {
    way.unshift(at.from.action)
  }
  return way
}

/** The same, for people. */
export const printWay = (visited: Visited): ReadonlyArray<string> => wayTo(visited).map(nameOf)

/** The states from which none of these can be reached. */
export const stuck = (all: ReadonlyArray<Visited>, goal: (state: State) => boolean): ReadonlyArray<Visited> => {
  const parents = new Map<Visited, Array<Visited>>()
  for (const visited of all) {
    for (const { to } of visited.next) {
      const known = parents.get(to)
      if (known === undefined) {
        parents.set(to, [visited])
      } else {
        known.push(visited)
      }
    }
  }
  const reaches = new Set(all.filter(({ state }) => goal(state)))
  for (const visited of reaches) {
    for (const parent of parents.get(visited) ?? []) {
      reaches.add(parent)
    }
  }
  return all.filter((visited) => !reaches.has(visited))
}
