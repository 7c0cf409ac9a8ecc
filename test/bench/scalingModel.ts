/**
 * A simulation of an application that grows: jobs pass stations one after the other, such as the database, a relay and an engine,
 * and wait in each until one of its servers (a core, a process) is free.
 */

export interface Visit {
  readonly station: string
  /** How long a job keeps a server of the station busy, in microseconds. */
  readonly micros: number
}

export interface System {
  /** How many servers each station has. */
  readonly stations: Readonly<Record<string, number>>
  /** What each job does, in order. */
  readonly visits: ReadonlyArray<Visit>
}

/** How many jobs a second a station takes at most. */
const capacityOf = ({ stations, visits }: System, station: string): number => {
  const micros = visits.reduce((sum, visit) => visit.station === station ? sum + visit.micros : sum, 0)
  return micros === 0 ? Infinity : stations[station]! * 1e6 / micros
}

/** The station that is full first, and how many jobs a second it takes. */
export const limitOf = (system: System): { readonly station: string, readonly rate: number } =>
  Object.keys(system.stations)
    .map((station) => ({ station, rate: capacityOf(system, station) }))
    .reduce((least, other) => other.rate < least.rate ? other : least)

interface Event {
  readonly at: number
  readonly job: number
  /** The visit that begins, if a server is free, or that ends. */
  readonly visit: number
  readonly ends: boolean
}

/** The events that are to come, the first one on top. */
class Events {
  private readonly heap: Array<Event> = []

  push(event: Event): void {
    const { heap } = this
    let at = heap.push(event) - 1
    while (at > 0 && heap[(at - 1) >> 1]!.at > event.at) {
      heap[at] = heap[(at - 1) >> 1]!
      at = (at - 1) >> 1
    }
    heap[at] = event
  }

  pop(): Event | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) {
      return first
    }
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const child = left + 1 < heap.length && heap[left + 1]!.at < heap[left]!.at ? left + 1 : left
      if (child >= heap.length || heap[child]!.at >= last.at) {
        break
      }
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

/** Numbers from 0 to 1 that are the same in each run. */
const random = (seed: number) => () => {
  seed = (seed + 0x6D2B79F5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

/** The times from a job's arrival to its end, in milliseconds, sorted. Jobs arrive at random, so many in a second on average. */
export const simulate = ({ stations, visits }: System, rate: number, jobs: number): ReadonlyArray<number> => {
  const next = random(1)
  const events = new Events()
  const arrivals: Array<number> = []
  let now = 0
  for (let job = 0; job < jobs; job++) {
    now -= Math.log(1 - next()) / rate * 1e6
    arrivals.push(now)
    events.push({ at: now, job, visit: 0, ends: false })
  }
  const free = { ...stations }
  const waiting: Record<string, Array<Event>> = Object.fromEntries(Object.keys(stations).map((name) => [name, []]))
  const heads = Object.fromEntries(Object.keys(stations).map((name) => [name, 0]))
  const times: Array<number> = []
  const begin = ({ job, visit }: Event, at: number) => {
    const { micros, station } = visits[visit]!
    free[station]!--
    events.push({ at: at + micros, job, visit, ends: true })
  }
  for (let event = events.pop(); event !== undefined; event = events.pop()) {
    const { station } = visits[event.visit]!
    if (!event.ends) {
      if (free[station]! > 0) {
        begin(event, event.at)
      } else {
        waiting[station]!.push(event)
      }
      continue
    }
    free[station]!++
    const first = waiting[station]![heads[station]!]
    if (first !== undefined) {
      heads[station]!++
      begin(first, event.at)
    }
    if (event.visit + 1 < visits.length) {
      events.push({ at: event.at, job: event.job, visit: event.visit + 1, ends: false })
    } else {
      times.push((event.at - arrivals[event.job]!) / 1000)
    }
  }
  return times.sort((a, b) => a - b)
}
