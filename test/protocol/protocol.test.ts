/**
 * The protocol of the outbox, exhaustively: every interleaving of two writers, two relays and what can go wrong, up to a bound.
 * `AIRLOCK_PROTOCOL_FAULTS=1 npx vitest run test/protocol` allows one fault more in each case, which takes minutes.
 */
import { describe, expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { explore, printWay, stuck, type Visited } from "./explore.js"
import { broken, isSettled } from "./invariants.js"
import type { Options, State } from "./model.js"

const more = Number(process.env["AIRLOCK_PROTOCOL_FAULTS"] ?? 0)

const cases: Readonly<Record<string, Options>> = {
  "a row": { rows: 1, relays: 2, faults: 2 },
  "a held row that is released when it expires": { rows: 1, relays: 2, faults: 2, outerScope: true },
  "a held row that is discarded when it expires": {
    rows: 1,
    relays: 1,
    faults: 2,
    outerScope: true,
    onExpiry: "discard"
  },
  "a row with a delay": { rows: 1, relays: 1, faults: 2, delay: true },
  "a held row with a delay": { rows: 1, relays: 1, faults: 2, outerScope: true, delay: true },
  "two rows with an orderingKey": { rows: 2, relays: 2, faults: 1, key: "ordering" },
  "two held rows with an orderingKey": { rows: 2, relays: 1, faults: 1, key: "ordering", outerScope: true },
  "two rows with a dedupeKey": { rows: 2, relays: 2, faults: 1, key: "dedupe" },
  "two held rows with a dedupeKey": { rows: 2, relays: 1, faults: 1, key: "dedupe", outerScope: true }
}

const explored = new Map<string, ReadonlyArray<Visited>>()
const statesOf = (name: string): ReadonlyArray<Visited> => {
  const known = explored.get(name) ?? explore({ ...cases[name]!, faults: cases[name]!.faults + more })
  explored.set(name, known)
  return known
}

const everyState = (): ReadonlyArray<Visited> => Object.keys(cases).flatMap(statesOf)

const first = (holds: (state: State) => boolean): Visited | undefined => everyState().find(({ state }) => holds(state))

describe("the protocol of the outbox", () => {
  it.each(Object.keys(cases))("keeps its invariants in every state: %s", (name) => {
    for (const visited of statesOf(name)) {
      const says = broken(visited.state, cases[name]!)
      if (says.length > 0) {
        throw new Error(`Does not hold: ${says.join("; ")}, after\n${printWay(visited).join("\n")}`)
      }
    }
  })

  it.each(Object.keys(cases))("can settle from every state: %s", (name) => {
    expect(stuck(statesOf(name), isSettled).map(printWay)).toEqual([])
  })

  it("reaches what can go wrong", () => {
    const happens: Readonly<Record<string, (state: State) => boolean>> = {
      "an effect twice, because a lost result was run again": ({ history }) => history[0]!.effects === 2,
      "an effect, although the scope failed, after an expiry": ({ history }) =>
        history[0]!.decided === "failure" && history[0]!.effects > 0,
      "a dead letter, although its handler has succeeded": ({ history, rows }) =>
        rows[0]!.state === "dead" && history[0]!.effects > 0,
      "a reaped row that its old relay acknowledges": ({ relays, rows }) =>
        rows[0]!.state === "ready" && relays.some(({ work }) => work[0]?.phase === "succeeded"),
      "two rows of a key side by side, after a lease was lost": ({ history }) => history[1]?.outOfOrder === true,
      "a row that waits for another one": ({ rows }) => rows[1]?.state === "blocked",
      "a duplicate": ({ history }) => history[1]?.duplicate === true
    }
    const missing = Object.entries(happens).flatMap(([name, holds]) => first(holds) === undefined ? [name] : [])
    expect(missing).toEqual([])
  })

  it("is the one that docs/outbox.md draws", () => {
    const arrows = new Set<string>()
    const late = new Set<string>()
    for (const { next, state } of everyState()) {
      for (const { action, to } of next) {
        to.state.rows.forEach((row, i) => {
          const { lease, state: before } = state.rows[i]!
          if (row.state !== before) {
            const arrow = `${before === "none" ? "[*]" : before} --> ${row.state}`
            const isLate = action.to === i && before !== "claimed" && lease !== null &&
              !state.sessions.includes(lease) &&
              ["acknowledge", "store failure", "bury"].includes(action.does)
            ;(isLate ? late : arrows).add(arrow)
          }
        })
      }
    }
    expect([...arrows].sort()).toEqual(drawn())
    // "A late result" is said below the diagram.
    expect([...late].sort()).toEqual([
      "blocked --> acknowledged",
      "blocked --> dead",
      "blocked --> scheduled",
      "ready --> acknowledged",
      "ready --> dead",
      "ready --> scheduled"
    ])
  })
})

/** The arrows of the diagram, each once, without those to its end. */
const drawn = (): ReadonlyArray<string> => {
  const page = readFileSync(new URL("../../docs/outbox.md", import.meta.url), "utf8")
  const [, diagram] = /```mermaid\nstateDiagram-v2\n([^`]*)```/u.exec(page)!
  const arrows = [...diagram!.matchAll(/^ *(\S+ --> \w+):/gmu)].map(([, arrow]) => arrow!)
  return [...new Set(arrows)].sort()
}
