/**
 * For tests of runners in processes of their own: the jobs that they run, and what they tell about it.
 */
import { Schema } from "effect"
import { Task } from "effect-airlock"

export const Job = Task.make("Job", { payload: { n: Schema.Number } })

/** What a process does. */
export interface RunnerProgram {
  readonly name: string
  /** The URL of the database. */
  readonly database: string
  /** The port at which other runners reach it. */
  readonly port: number
  readonly concurrency: number
  /** How many handlers may end. The others wait, after their effect. Default: any number. */
  readonly holdAfter?: number
}

/** What a process tells, a line for each event. */
export type RunnerEvent = { readonly is: "begin" | "effect" | "end" | "interrupted", readonly n: number }
