/**
 * The model and the store do the same: for each kind of step in the model, a shortest way to one is gone on each database, and the
 * rows are compared after every step.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { idOf, Outbox, outbox, row, sessionOf, table } from "../internal/outbox/testStore.js"
import { onEachDatabase } from "../support/databases.js"
import { explore, type Visited } from "./explore.js"
import { type Action, nameOf, type Options, type Row, type State } from "./model.js"

const hour = 3_600_000

const cases: Readonly<Record<string, Options>> = {
  "a row": { rows: 1, relays: 2, faults: 2 },
  "a held row": { rows: 1, relays: 1, faults: 2, outerScope: true, delay: true },
  "a held row that is discarded when it expires": {
    rows: 1,
    relays: 1,
    faults: 1,
    outerScope: true,
    onExpiry: "discard"
  },
  "rows with an orderingKey": { rows: 2, relays: 1, faults: 1, key: "ordering" },
  "rows with a dedupeKey": { rows: 2, relays: 1, faults: 0, key: "dedupe" }
}

interface Move {
  readonly action: Action
  readonly before: State
  readonly after: State
}

/** What tells a kind of step from another: what is done, and from where to where it leads the rows that it is about. */
const kindOf = ({ action: { by, does, to }, after, before }: Move): string =>
  JSON.stringify([
    does,
    before.rows.map((row, i) => {
      const next = after.rows[i]!
      return next.state !== row.state || i === to || by === `writer ${i}`
        ? [row.state, row.attempts, row.lease !== null && before.sessions.includes(row.lease), next.state]
        : does === "claim" || does === "block"
        ? row.state
        : null
    })
  ])

const movesTo = (visited: Visited): ReadonlyArray<Move> => {
  const moves: Array<Move> = []
  for (let at = visited; at.from !== undefined; at = at.from.parent) {
    moves.unshift({ action: at.from.action, before: at.from.parent.state, after: at.state })
  }
  return moves
}

const found = new Map<Options, ReadonlyArray<ReadonlyArray<Move>>>()

const waysOf = (options: Options): ReadonlyArray<ReadonlyArray<Move>> => {
  const ways = found.get(options) ?? findWays(options)
  found.set(options, ways)
  return ways
}

/** A shortest way for each kind of step. Ways that are the beginning of another one are left out. */
const findWays = (options: Options): ReadonlyArray<ReadonlyArray<Move>> => {
  const byKind = new Map<string, ReadonlyArray<Move>>()
  for (const visited of explore(options)) {
    for (const { action, to } of visited.next) {
      const move = { action, before: visited.state, after: to.state }
      const kind = kindOf(move)
      if (!byKind.has(kind)) {
        byKind.set(kind, [...movesTo(visited), move])
      }
    }
  }
  const ways = [...byKind.values()].sort((a, b) => b.length - a.length)
  const begun = new Set<string>()
  return ways.filter((way) => {
    const names = way.map(({ action }) => nameOf(action))
    const isNew = !begun.has(names.join("\n"))
    names.forEach((_, i) => begun.add(names.slice(0, i + 1).join("\n")))
    return isNew
  })
}

/** `0.1` is the first session of relay 0. */
const sessionId = (name: string): string => {
  const [relay, number] = name.split(".")
  return `0b00000${relay}-0000-4000-8000-${number!.padStart(12, "0")}`
}

/** What a process does without its database. */
const ofProcess = new Set([
  "roll back",
  "succeed",
  "fail",
  "die",
  "start",
  "is cut off",
  "go on",
  "find used up",
  "run",
  "run and fail"
])

/** Does on the database what the processes of a step do there. */
const apply = (
  { action, after, before }: Move,
  claims: { number: number },
  { delay = false, key, onExpiry = "release", outerScope = false }: Options
) =>
  Effect.gen(function*() {
    const store = yield* Outbox
    const sql = yield* SqlClient.SqlClient
    const [actor, number] = action.by.split(" ")
    const index = Number(number)
    const i = actor === "writer" ? index : Number(action.to)
    const id = idOf(i)
    const relay = before.relays[index]
    const work = relay?.work[i]
    const session = relay?.session ?? ""
    const isOwn = before.rows[i]?.lease === work?.session
    if (after.rows.some(({ readyAt }, i) => readyAt !== before.rows[i]!.readyAt)) {
      // The clock of a database is not so fine that each of these steps has a time of its own.
      yield* sql.unsafe(`UPDATE ${table} SET ready_at = ready_at - 1000000 WHERE ready_at IS NOT NULL`)
    }
    switch (action.does) {
      case "commit": {
        return yield* store.insert(
          [row(i, {
            queue: `queue ${i}`,
            delayMillis: delay ? hour : null,
            orderingKey: key === "ordering" ? "key" : null,
            dedupeKey: key === "dedupe" ? "key" : null
          })],
          outerScope ? { state: "held", heldMillis: hour, onExpiry } : { state: "ready" }
        )
      }
      case "release":
        return yield* store.release([id])
      case "discard": {
        const deleted = yield* store.discard([id])
        return expect(deleted).toEqual(after.rows[i]!.state === before.rows[i]!.state ? [] : [id])
      }
      case "expire":
      case "is due": {
        yield* sql.unsafe(`UPDATE ${table} SET due_at = 0 WHERE id = '${id}'`)
        return yield* store.expire
      }
      case "reap": {
        yield* sql.unsafe(`UPDATE ${table}_relay SET expires_at = 0 WHERE id = '${sessionId(String(action.to))}'`)
        return yield* store.reap
      }
      case "register":
        return yield* store.register(sessionOf(sessionId(after.relays[index]!.session!)), hour)
      case "lose its session":
        return expect(yield* store.heartbeat(sessionOf(sessionId(session)), hour)).toBe(false)
      case "claim":
      case "block": {
        claims.number++
        const claimed = yield* store.claim({
          lease: sessionId(session),
          claimNumber: claims.number,
          lanes: [{ queue: `queue ${i}`, task: "Note", version: 1, limit: 1 }],
          limit: 1,
          maxBytes: 1_000
        })
        return expect(claimed.map(({ attempt, id }) => [id, attempt]))
          .toEqual(action.does === "claim" ? [[id, before.rows[i]!.attempts]] : [])
      }
      case "begin": {
        const also = after.rows.flatMap(({ begun, lease }, i) => begun && lease === session ? [idOf(i)] : [])
        return expect(yield* store.begin(sessionId(session), { upTo: 0, except: [], last: claims.number, also })).toBe(
          true
        )
      }
      case "unclaim":
        return yield* store.unclaim(sessionId(work!.session), [id])
      case "give back unknown":
        return yield* store.unclaimOthers(
          sessionId(session),
          relay!.work.flatMap((work, i) => work === null ? [] : [idOf(i)])
        )
      case "acknowledge":
        return expect(yield* store.acknowledge(sessionId(work!.session), [id])).toEqual(isOwn ? [id] : [])
      case "store failure":
      case "bury": {
        const { attempts, state } = after.rows[i]!
        const stored = yield* store.fail(sessionId(work!.session), [{
          id,
          attempt: attempts,
          error: "no",
          history: null,
          next: state === "dead" ? { _tag: "Dead" } : { _tag: "Retry", delayMillis: hour }
        }])
        return expect(stored).toEqual(isOwn ? [id] : [])
      }
      default:
        return expect.unreachable(nameOf(action))
    }
  })

const isThere = ({ state }: Row): boolean => !["none", "acknowledged", "discarded"].includes(state)

const expected = ({ rows }: State) =>
  rows.flatMap((row, i) =>
    isThere(row)
      ? [{ id: idOf(i), state: row.state, attempt: row.attempts, lease: row.lease && sessionId(row.lease) }]
      : []
  )

const stored = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql.unsafe<Readonly<Record<string, unknown>>>(`SELECT id, state, attempt, lease FROM ${table} ORDER BY id`),
    (rows) => rows.map(({ attempt, id, lease, state }) => ({ id, state, attempt: Number(attempt), lease }))
  ))

const go = (way: ReadonlyArray<Move>, options: Options) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`DELETE FROM ${table}`)
    yield* sql.unsafe(`DELETE FROM ${table}_relay`)
    const claims = { number: 0 }
    for (const [index, move] of way.entries()) {
      if (ofProcess.has(move.action.does)) {
        continue
      }
      const steps = way.slice(0, index + 1).map(({ action }) => nameOf(action)).join("\n")
      yield* apply(move, claims, options).pipe(
        Effect.catchAllDefect((error) => Effect.die(new Error(`After\n${steps}\n${String(error)}`)))
      )
      expect(yield* stored, steps).toEqual(expected(move.after))
    }
  })

onEachDatabase((database) =>
  describe("the store goes the ways of the model", () => {
    layer(outbox(database), { timeout: 60_000 })((it) => {
      it.effect.each(Object.keys(cases))(
        "%s",
        (name) => {
          const ways = waysOf(cases[name]!)
          expect(ways.length).toBeGreaterThan(20)
          return Effect.forEach(ways, (way) => go(way, cases[name]!), { discard: true })
        },
        120_000
      )
    })
  })
)
