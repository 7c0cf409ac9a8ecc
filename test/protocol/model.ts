/**
 * The protocol of the outbox as a small model: two writers with a row each, two relays, and what can go wrong.
 *
 * A step is one statement of a process, or one fault. `docs/outbox.md` draws the states of a row; `stepsOf` has the same arrows.
 * What the database does in one transaction is one step. Times are faults here: a lease or a timeout can pass as soon as the process
 * that should renew it is dead or cut off.
 */

export type RowState =
  | "none"
  | "held"
  | "scheduled"
  | "ready"
  | "blocked"
  | "claimed"
  | "acknowledged"
  | "dead"
  | "discarded"

export interface Row {
  state: RowState
  /** The session that has claimed it last. */
  lease: string | null
  /** Whether that session has noted that its handler begins. */
  begun: boolean
  attempts: number
  /** The place in the order: set when it first becomes ready or scheduled. */
  readyAt: number | null
}

export interface Writer {
  /** `deciding`: the transaction has committed, and the outer scope is open. `ended`: it has nothing to do with its row any more. */
  at: "transaction" | "deciding" | "releasing" | "discarding" | "ended" | "dead"
  /** It is paused, or its database does not answer: it renews nothing. */
  isCutOff: boolean
}

/** What a relay does with a row that it has claimed. */
export interface Work {
  session: string
  phase: "waiting" | "running" | "succeeded" | "failed" | "usedUp"
}

export interface Relay {
  isAlive: boolean
  isCutOff: boolean
  /** The session that it believes to have. */
  session: string | null
  work: Array<Work | null>
}

/** What happened, for the invariants. No step depends on it. */
export interface History {
  committed: boolean
  /** What the outer scope has decided. */
  decided: "success" | "failure" | null
  /** The row expired while it was held. */
  expired: boolean
  /** It was deleted as the duplicate of a row that runs. */
  duplicate: boolean
  /** How often a handler has done its effect. */
  effects: number
  /** How often the run of a handler can have been repeated: its process died, or its lease was reaped, before the result was stored. */
  windows: number
  /** The handler began while that of another row of the key ran, or before an earlier row was done. */
  outOfOrder: boolean
}

export interface State {
  rows: Array<Row>
  writers: Array<Writer>
  relays: Array<Relay>
  /** The sessions in the database. */
  sessions: Array<string>
  history: Array<History>
  /** How many faults may still happen. */
  faults: number
}

export interface Options {
  /** How many rows, each with a writer of its own. */
  readonly rows: 1 | 2
  readonly relays: 1 | 2
  /** How many faults: crashes, cut-offs and lost answers. */
  readonly faults: number
  /** Whether a request is open around the transaction, which can still refuse the row. */
  readonly outerScope?: boolean
  readonly onExpiry?: "release" | "discard"
  /** Whether the rows have a delay. */
  readonly delay?: boolean
  /** The key that both rows have. */
  readonly key?: "ordering" | "dedupe"
  readonly maxAttempts?: number
}

export interface Action {
  readonly by: `writer ${number}` | `relay ${number}` | "time"
  readonly does: string
  /** The number of a row, or the name of a session. */
  readonly to?: number | string
  /** The process does not learn what became of its statement. */
  readonly isLost?: boolean
}

export interface Step {
  readonly action: Action
  readonly next: State
}

/** `relay 0: claim 1, and the answer is lost`. */
export const nameOf = ({ by, does, isLost = false, to = "" }: Action): string =>
  `${by}: ${does} ${to}`.trim() + (isLost ? ", and the answer is lost" : "")

const times = <A>(n: number, make: (index: number) => A): Array<A> => Array.from({ length: n }, (_, i) => make(i))

export const initial = ({ faults, relays, rows }: Options): State => ({
  rows: times(rows, () => ({ state: "none", lease: null, begun: false, attempts: 0, readyAt: null })),
  writers: times(rows, () => ({ at: "transaction", isCutOff: false })),
  relays: times(relays, () => ({
    isAlive: true,
    isCutOff: false,
    session: null,
    work: times(rows, () => null)
  })),
  sessions: [],
  history: times(rows, () => ({
    committed: false,
    decided: null,
    expired: false,
    duplicate: false,
    effects: 0,
    windows: 0,
    outOfOrder: false
  })),
  faults
})

/** The rows that wait for their run. A held row does not: it may never run. */
const waits = ({ state }: Row): boolean => state === "ready" || state === "scheduled" || state === "blocked"

const hasBegun = (work: Work | null): boolean => work?.phase === "running" || work?.phase === "succeeded"

/** All steps that are possible in a state. */
export const stepsOf = (state: State, options: Options): ReadonlyArray<Step> => {
  const { delay = false, key, maxAttempts = 2, onExpiry = "release", outerScope = false } = options
  const steps: Array<Step> = []
  const step = (action: Action, change: (next: State) => void): void => {
    const next = copyOf(state)
    change(next)
    steps.push({ action, next })
  }
  const fault = (action: Action, change: (next: State) => void): void => {
    if (state.faults > 0) {
      step(action, (next) => {
        next.faults--
        change(next)
      })
    }
  }
  /** A statement, and the same one whose answer is lost: its process knows nothing of what it did. */
  const statement = (action: Action, change: (next: State) => void, know: (next: State) => void): void => {
    step(action, (next) => {
      change(next)
      know(next)
    })
    fault({ ...action, isLost: true }, change)
  }

  state.writers.forEach((writer, i) => {
    const by = `writer ${i}` as const
    const commit = (next: State) => {
      next.history[i]!.committed = true
      if (outerScope) {
        next.rows[i]!.state = "held"
      } else {
        becomeReady(next, i, delay)
      }
    }
    const goOn = (at: Writer["at"]) => (next: State) => {
      next.writers[i]!.at = at
    }
    if (!writer.isCutOff) {
      switch (writer.at) {
        case "transaction": {
          step({ by, does: "commit" }, (next) => {
            commit(next)
            goOn(outerScope ? "deciding" : "ended")(next)
          })
          step({ by, does: "roll back" }, goOn("ended"))
          // Then the outcome is unknown, and the writer leaves the row to its timeout.
          fault({ by, does: "commit", isLost: true }, (next) => {
            commit(next)
            goOn("ended")(next)
          })
          fault({ by, does: "roll back", isLost: true }, goOn("ended"))
          break
        }
        case "deciding": {
          step({ by, does: "succeed" }, (next) => {
            next.history[i]!.decided = "success"
            goOn("releasing")(next)
          })
          step({ by, does: "fail" }, (next) => {
            next.history[i]!.decided = "failure"
            goOn("discarding")(next)
          })
          break
        }
        case "releasing": {
          statement({ by, does: "release" }, (next) => release(next, i, delay), goOn("ended"))
          break
        }
        case "discarding": {
          statement({ by, does: "discard" }, (next) => discard(next, i, key), goOn("ended"))
          break
        }
      }
    }
    if (writer.at !== "ended" && writer.at !== "dead") {
      fault({ by, does: "die" }, goOn("dead"))
      if (writer.isCutOff) {
        step({ by, does: "go on" }, (next) => {
          next.writers[i]!.isCutOff = false
        })
      } else {
        fault({ by, does: "is cut off" }, (next) => {
          next.writers[i]!.isCutOff = true
        })
      }
    }
  })

  state.rows.forEach((row, i) => {
    const { at, isCutOff } = state.writers[i]!
    if (row.state === "held" && (isCutOff || at === "ended" || at === "dead")) {
      step({ by: "time", does: "expire", to: i }, (next) => {
        next.history[i]!.expired = true
        if (onExpiry === "release") {
          release(next, i, delay)
        } else {
          remove(next, i, "discarded", key)
        }
      })
    }
    if (row.state === "scheduled") {
      step({ by: "time", does: "is due", to: i }, (next) => {
        next.rows[i]!.state = "ready"
      })
    }
  })

  for (const session of state.sessions) {
    const relay = state.relays.find((relay) => relay.isAlive && !relay.isCutOff && relay.session === session)
    if (relay === undefined) {
      step({ by: "time", does: "reap", to: session }, (next) => reap(next, session))
    }
  }

  state.relays.forEach((relay, r) => {
    const by = `relay ${r}` as const
    const own = (next: State) => next.relays[r]!
    if (!relay.isAlive) {
      step({ by, does: "start" }, (next) => {
        own(next).isAlive = true
      })
      return
    }
    fault({ by, does: "die" }, (next) => {
      relay.work.forEach((work, i) => {
        if (work?.phase === "succeeded" && next.rows[i]!.state === "claimed" && next.rows[i]!.lease === work.session) {
          next.history[i]!.windows++
        }
      })
      Object.assign(own(next), { isAlive: false, isCutOff: false, session: null, work: relay.work.map(() => null) })
    })
    relay.work.forEach((work, i) => {
      if (work?.phase === "running") {
        // Without a database too.
        step({ by, does: "run", to: i }, (next) => {
          next.history[i]!.effects++
          own(next).work[i]!.phase = "succeeded"
        })
        step({ by, does: "run and fail", to: i }, (next) => {
          own(next).work[i]!.phase = "failed"
        })
      }
    })
    if (relay.isCutOff) {
      step({ by, does: "go on" }, (next) => {
        own(next).isCutOff = false
      })
      return
    }
    fault({ by, does: "is cut off" }, (next) => {
      own(next).isCutOff = true
    })
    const { session } = relay
    if (session === null) {
      step({ by, does: "register" }, (next) => {
        const name = newSession(state, r)
        next.sessions = [...next.sessions, name].sort()
        own(next).session = name
      })
    } else {
      const isKnown = state.sessions.includes(session)
      if (!isKnown) {
        step({ by, does: "lose its session" }, (next) => {
          own(next).session = null
          own(next).work = relay.work.map((work) => work?.phase === "waiting" ? null : work)
        })
      }
      state.rows.forEach((row, i) => {
        if (isKnown && row.state === "ready" && relay.work[i] === null) {
          if (isHead(state, i, key)) {
            statement(
              { by, does: "claim", to: i },
              (next) => claim(next, i, session, key),
              (next) => {
                own(next).work[i] = { session, phase: "waiting" }
              }
            )
          } else {
            step({ by, does: "block", to: i }, (next) => block(next, i, key))
          }
        }
        if (row.state === "claimed" && row.lease === session && relay.work[i] === null) {
          step({ by, does: "give back unknown", to: i }, (next) => {
            next.rows[i] = { ...row, state: "ready", lease: null, begun: false }
          })
        }
      })
    }
    relay.work.forEach((work, i) => {
      const forget = (next: State) => {
        own(next).work[i] = null
      }
      const ifOwn = (change: (next: State) => void) => (next: State) => {
        // Reaped rows keep their lease until the next claim.
        if (next.rows[i]!.lease === work!.session) {
          change(next)
        }
      }
      switch (work?.phase) {
        case "waiting": {
          step(
            { by, does: "unclaim", to: i },
            (next) => {
              ifOwn((next) => Object.assign(next.rows[i]!, { state: "ready", lease: null, begun: false }))(next)
              forget(next)
            }
          )
          if (state.rows[i]!.attempts >= maxAttempts) {
            step({ by, does: "find used up", to: i }, (next) => {
              own(next).work[i]!.phase = "usedUp"
            })
          } else if (work.session === session && state.sessions.includes(session)) {
            statement(
              { by, does: "begin", to: i },
              ifOwn((next) => {
                next.rows[i]!.begun = true
              }),
              (next) => {
                own(next).work[i]!.phase = "running"
                next.history[i]!.outOfOrder ||= isOutOfOrder(next, i, key)
              }
            )
          }
          break
        }
        case "succeeded": {
          statement({ by, does: "acknowledge", to: i }, ifOwn((next) => remove(next, i, "acknowledged", key)), forget)
          break
        }
        case "failed": {
          statement(
            { by, does: "store failure", to: i },
            ifOwn((next) => {
              const attempts = state.rows[i]!.state === "claimed"
                ? state.rows[i]!.attempts + 1
                : state.rows[i]!.attempts
              Object.assign(next.rows[i]!, { attempts, lease: null, begun: false })
              if (attempts >= maxAttempts) {
                remove(next, i, "dead", key)
              } else {
                next.rows[i]!.state = "scheduled"
              }
            }),
            forget
          )
          break
        }
        case "usedUp": {
          statement({ by, does: "bury", to: i }, ifOwn((next) => remove(next, i, "dead", key)), forget)
          break
        }
      }
    })
  })
  return steps
}

const copyOf = ({ faults, history, relays, rows, sessions, writers }: State): State => ({
  rows: rows.map((row) => ({ ...row })),
  writers: writers.map((writer) => ({ ...writer })),
  relays: relays.map((relay) => ({ ...relay, work: relay.work.map((work) => work && { ...work }) })),
  sessions: [...sessions],
  history: history.map((one) => ({ ...one })),
  faults
})

/** A name that nothing refers to any more: so there are finitely many states. */
const newSession = ({ relays, rows, sessions }: State, r: number): string => {
  const used = new Set([
    ...sessions,
    ...rows.map(({ lease }) => lease),
    ...relays[r]!.work.map((work) => work?.session)
  ])
  for (let n = 1;; n++) {
    if (!used.has(`${r}.${n}`)) {
      return `${r}.${n}`
    }
  }
}

/** Gives a row its place in the order, after all that have one. */
const becomeReady = (next: State, i: number, delay: boolean): void => {
  const row = next.rows[i]!
  row.state = delay ? "scheduled" : "ready"
  row.readyAt = next.rows.filter(({ readyAt }) => readyAt !== null).length
}

const release = (next: State, i: number, delay: boolean): void => {
  if (next.rows[i]!.state === "held") {
    becomeReady(next, i, delay)
  }
}

/** Deletes a row that no relay has claimed. */
const discard = (next: State, i: number, key: Options["key"]): void => {
  if (next.rows[i]!.state === "held" || waits(next.rows[i]!)) {
    remove(next, i, "discarded", key)
  }
}

/** A row leaves the table, or stays in it as a dead letter. The first row that is blocked by it becomes ready. */
const remove = (next: State, i: number, state: "acknowledged" | "dead" | "discarded", key: Options["key"]): void => {
  const wasHeld = next.rows[i]!.state === "held"
  next.rows[i] = { ...next.rows[i]!, state, lease: null, begun: false }
  const blocked = next.rows.find((row) => row.state === "blocked")
  if (key !== undefined && !wasHeld && blocked !== undefined) {
    blocked.state = "ready"
  }
}

const isBefore = (other: Row, row: Row): boolean => waits(other) && other.readyAt! < row.readyAt!

/** Whether the row need not wait for another one with its key. */
const isHead = ({ rows }: State, i: number, key: Options["key"]): boolean =>
  rows.every((other, o) =>
    o === i || key === undefined ||
    !(isBefore(other, rows[i]!) || (key === "ordering" && other.state === "claimed"))
  )

const isOutOfOrder = ({ relays, rows }: State, i: number, key: Options["key"]): boolean =>
  key === "ordering" &&
  rows.some((other, o) =>
    o !== i && (isBefore(other, rows[i]!) || relays.some(({ work }) => work[o]?.phase === "running"))
  )

const claim = (next: State, i: number, session: string, key: Options["key"]): void => {
  const row = next.rows[i]!
  Object.assign(row, { state: "claimed", lease: session, begun: false })
  if (key === "dedupe") {
    next.rows.forEach((other, o) => {
      if (o !== i && waits(other) && other.readyAt! > row.readyAt!) {
        next.rows[o] = { ...other, state: "discarded", lease: null, begun: false }
        next.history[o]!.duplicate = true
      }
    })
  }
}

/** A row that is behind blocked rows only makes the first of them ready: else all could be blocked for ever. */
const block = (next: State, i: number, key: Options["key"]): void => {
  next.rows[i]!.state = "blocked"
  const others = next.rows.filter((_, o) => o !== i)
  const first = others.find((other) => other.state === "blocked" && other.readyAt! < next.rows[i]!.readyAt!)
  if (key === "ordering" && first !== undefined && !others.some(({ state }) => state === "claimed")) {
    first.state = "ready"
  }
}

/** The rows of a session that has expired become ready. Those whose handlers had begun have used an attempt. */
const reap = (next: State, session: string): void => {
  next.sessions = next.sessions.filter((other) => other !== session)
  next.rows.forEach((row, i) => {
    if (row.state === "claimed" && row.lease === session) {
      if (next.relays.some(({ work }) => hasBegun(work[i]!) && work[i]!.session === session)) {
        next.history[i]!.windows++
      }
      Object.assign(row, { state: "ready", attempts: row.attempts + (row.begun ? 1 : 0), begun: false })
    }
  })
}
