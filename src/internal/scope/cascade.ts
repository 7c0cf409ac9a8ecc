/**
 * The chain of handlers that led to a scope: each of them enqueued the task of the next one.
 *
 * @internal
 */

/** The last handler of the chain, and the handlers before it. @internal */
export interface Cascade {
  readonly task: string
  readonly depth: number
  readonly outer: Cascade | undefined
}

/** @internal */
export const extendCascade = (outer: Cascade | undefined, task: string): Cascade => ({
  task,
  depth: outer === undefined ? 1 : outer.depth + 1,
  outer
})

/** The names of the tasks, from the first handler to the last. @internal */
export const tasksOf = (cascade: Cascade | undefined): ReadonlyArray<string> => {
  const tasks: Array<string> = []
  for (let at = cascade; at !== undefined; at = at.outer) {
    tasks.unshift(at.task)
  }
  return tasks
}

/** The cascade of some tasks, from the first handler to the last. @internal */
export const cascadeOf = (tasks: ReadonlyArray<string>): Cascade | undefined =>
  tasks.reduce<Cascade | undefined>(extendCascade, undefined)
