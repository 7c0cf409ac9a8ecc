/**
 * The reference: which rows there must be at the end and which intents must have left, computed without SQL, fibers or
 * Effects.
 */
import type { Block } from "./program.js"

export interface Rules {
  /** Whether a failed statement spoils its savepoint or transaction. */
  readonly refuses: boolean
  /** Whether the database checks deferred constraints at COMMIT. */
  readonly defers: boolean
}

interface Entry {
  readonly id: number
  /** A policy or a failed branch discards the intent, though the row stays. */
  lost: boolean
}

/** A transaction or savepoint, with its rows and intents. */
interface Frame {
  readonly entries: Array<Entry>
  dangling: boolean
  spoilt: boolean
}

/** Where a step runs. `held` has the entries committed in the current scope, if it is outside of any transaction. */
interface Place {
  readonly frame: Frame | undefined
  readonly held: Array<Entry> | undefined
  readonly dropOdd: boolean
}

export const expected = (program: Block, rules: Rules) => {
  const rows: Array<number> = []
  const left: Array<number> = []

  const leave = (entries: ReadonlyArray<Entry>) => left.push(...entries.filter(({ lost }) => !lost).map(({ id }) => id))

  const commit = (frame: Frame, { held }: Place): boolean => {
    if (frame.spoilt || frame.dangling) {
      return false
    }
    rows.push(...frame.entries.map(({ id }) => id))
    if (held === undefined) {
      leave(frame.entries)
    } else {
      held.push(...frame.entries)
    }
    return true
  }

  const transaction = (block: Block, place: Place): boolean => {
    if (place.frame?.spoilt === true) {
      return false
    }
    const frame: Frame = { entries: [], dangling: false, spoilt: false }
    if (!run(block, { ...place, frame })) {
      return false
    }
    if (place.frame === undefined) {
      return commit(frame, place)
    }
    if (frame.spoilt) {
      return false
    }
    place.frame.entries.push(...frame.entries)
    place.frame.dangling ||= frame.dangling
    return true
  }

  /** Runs a branch of fibers. If it is lost its intents are, while its rows stay with the transaction. */
  const branch = (place: Place, lost: () => boolean, body: () => void) => {
    const known = new Set([...(place.frame?.entries ?? []), ...(place.held ?? [])])
    body()
    if (lost()) {
      for (const entry of [...(place.frame?.entries ?? []), ...(place.held ?? [])]) {
        entry.lost ||= !known.has(entry)
      }
    }
  }

  const run = (block: Block, place: Place): boolean => {
    for (const step of block) {
      switch (step._tag) {
        case "Order": {
          const entry = { id: step.id, lost: place.dropOdd && step.id % 2 === 1 }
          if (place.frame !== undefined) {
            if (place.frame.spoilt) {
              return false
            }
            place.frame.entries.push(entry)
          } else {
            rows.push(step.id)
            place.held?.push(entry)
          }
          break
        }
        case "CaughtFailure":
          if (place.frame !== undefined) {
            place.frame.spoilt ||= rules.refuses
          }
          break
        case "Dangling":
          if (rules.defers) {
            if (place.frame === undefined || place.frame.spoilt) {
              return false
            }
            place.frame.dangling = true
          }
          break
        case "End":
          return false
        case "Recover":
          run(step.block, place)
          break
        case "Transaction":
          if (!transaction(step.block, place)) {
            return false
          }
          break
        case "Scope": {
          const held: Array<Entry> = []
          const inner = { ...place, dropOdd: place.dropOdd || step.dropOdd }
          if (place.frame === undefined) {
            if (!run(step.block, { ...inner, held })) {
              return false
            }
            if (place.held === undefined) {
              leave(held)
            } else {
              place.held.push(...held)
            }
          } else {
            // Its rows are those of the transaction, even if its intents are discarded.
            let ok = true
            branch(place, () => !ok, () => {
              ok = run(step.block, inner)
            })
            if (!ok) {
              return false
            }
          }
          break
        }
        case "Side":
          for (const block of step.blocks) {
            transaction(block, place)
          }
          break
        case "ForkJoin": {
          let ok = true
          branch(place, () => !ok, () => {
            ok = run(step.block, place)
          })
          if (!ok) {
            return false
          }
          break
        }
        case "Lose":
          branch(place, () => true, () => transaction(step.block, place))
          break
      }
    }
    return true
  }

  const ok = run(program, { frame: undefined, held: undefined, dropOdd: false })
  return { rows: rows.sort((a, b) => a - b), left: left.sort((a, b) => a - b), ok }
}
