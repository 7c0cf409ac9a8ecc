/**
 * For tests of relays in processes of their own: the jobs that they run, and what they tell about it.
 */
import { Schema } from "effect"
import { Task } from "effect-airlock"

export const Job = Task.make("Job", { payload: { n: Schema.Number } })

/** The same task after a deploy. */
export const SecondJob = Task.make("Job", {
  payload: { number: Schema.Number },
  version: 2,
  upcast: { 1: (old: { readonly n: number }) => ({ number: old.n }) }
})

/** What a process does. */
export interface RelayProgram {
  readonly name: string
  readonly dialect: "pg" | "mysql" | "sqlite"
  /** The URL of the database, or its file. */
  readonly database: string
  /** The version of the task. Default: 1. */
  readonly version?: 1 | 2
  /** How many handlers may end before the process is told to go on. The others wait. Default: any number. */
  readonly holdAfter?: number
  readonly concurrency?: number
  readonly batchSize?: number
  readonly maxAttempts?: number
  readonly lease?: string
  readonly drainTimeout?: string
}

/** What a process tells, a line for each event. */
export type RelayEvent =
  | { readonly is: "open" }
  | { readonly is: "begin" | "end" | "interrupted", readonly n: number, readonly attempt: number }
  | { readonly is: "log", readonly line: string }
  | { readonly is: "signal" }
  | { readonly is: "closed", readonly what: string }
