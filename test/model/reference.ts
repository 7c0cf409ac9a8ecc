/**
 * The reference: which intents must leave, and in which order, computed without fibers, without Effects and without the
 * library's code. It is short, so that a reader can check it.
 */
import type { Block, PolicyKind } from "./program.js"

interface Policy {
  readonly kind: PolicyKind
  readonly local: boolean
}

/** A fiber. Its intents leave if neither it nor a fiber that forked it is lost. */
interface Branch {
  readonly parent: Branch | undefined
  lost: boolean
}

interface Intent {
  readonly id: number
  readonly fails: boolean
  readonly policies: ReadonlyArray<Policy>
  branch: Branch
}

interface Scope {
  readonly outer: Place | undefined
  readonly eager: boolean
  readonly held: Array<Intent>
}

interface Place {
  readonly scope: Scope
  readonly branch: Branch
  readonly policies: ReadonlyArray<Policy>
}

const lives = (branch: Branch | undefined): boolean => branch === undefined || (!branch.lost && lives(branch.parent))

/** The intents that must leave when a program runs in an outermost scope, and whether the program succeeds. */
export const expected = (program: Block): { readonly left: ReadonlyArray<number>, readonly ok: boolean } => {
  const left: Array<number> = []
  let ids = 0

  /** Evaluates the policies in order, with their state. An intent that they allow leaves, and its handler may fail. */
  const dispatch = (intents: ReadonlyArray<Intent>): boolean => {
    const asked = new Map<Policy, number>()
    let ok = true
    for (const intent of intents) {
      const drops = intent.policies.some((policy) => {
        if (policy.kind === "limit") {
          const count = asked.get(policy) ?? 0
          asked.set(policy, count + 1)
          return count >= 2
        }
        return policy.kind === "dropAll" || (policy.kind === "dropOdd" && intent.id % 2 === 1)
      })
      if (!drops) {
        left.push(intent.id)
        ok = ok && !intent.fails
      }
    }
    return ok
  }

  const scoped = (
    block: Block,
    options: { readonly policy: PolicyKind, readonly always: boolean, readonly eager: boolean },
    outer: Place | undefined,
    around: ReadonlyArray<Policy>
  ): boolean => {
    const scope: Scope = { outer, eager: options.eager, held: [] }
    const policies = options.policy === "none" ? around : [{ kind: options.policy, local: false }, ...around]
    const ok = run(block, { scope, branch: { parent: undefined, lost: false }, policies })
    if (!ok && !options.always) {
      return false
    }
    const kept = scope.held.filter((intent) => lives(intent.branch))
    for (let at = outer; at !== undefined; at = at.scope.outer) {
      if (!at.scope.eager) {
        for (const intent of kept) {
          intent.branch = at.branch
          at.scope.held.push(intent)
        }
        at.scope.held.sort((a, b) => a.id - b.id)
        return ok
      }
    }
    return dispatch(kept) && ok
  }

  /** Runs a child fiber, which is lost if it fails or if `lost` says so. Gives whether its block succeeded. */
  const child = (block: Block, place: Place, lost = false): boolean => {
    const branch: Branch = { parent: place.branch, lost }
    const ok = run(block, { ...place, branch })
    branch.lost ||= !ok
    return ok
  }

  const run = (block: Block, place: Place): boolean => {
    for (const step of block) {
      switch (step._tag) {
        case "Enqueue": {
          const { branch, policies, scope } = place
          scope.held.push({ id: ids++, fails: step.fails, policies, branch })
          break
        }
        case "End":
          return false
        case "Recover":
          run(step.block, place)
          break
        case "Region": {
          const local = { kind: step.policy, local: true }
          if (!run(step.block, step.policy === "none" ? place : { ...place, policies: [local, ...place.policies] })) {
            return false
          }
          break
        }
        case "Scope": {
          const outer = step.independent ? undefined : place
          const around = step.independent ? place.policies.filter(({ local }) => local) : place.policies
          if (!scoped(step.block, step, outer, around)) {
            return false
          }
          break
        }
        case "Lose":
          child(step.block, place, true)
          break
        case "Daemon":
          child(step.block, place, step.fate === "runs")
          break
        case "ForkAwait":
        case "Callback":
          child(step.block, place)
          break
        case "Stage":
          step.blocks.forEach((block) => run(block, place))
          break
        case "Batch": {
          const items = step.items.map(({ after, before }) => ({
            after,
            before,
            branch: { parent: place.branch, lost: false }
          }))
          // The items that wait for the batch are interrupted if one of the others fails before it.
          if (items.map(({ before, branch }) => run(before, { ...place, branch })).includes(false)) {
            items.forEach(({ branch }) => branch.lost = true)
            return false
          }
          items.forEach(({ after, branch }) => branch.lost = !run(after, { ...place, branch }))
          if (items.some(({ branch }) => branch.lost)) {
            return false
          }
          break
        }
        case "ForkJoin":
          if (!child(step.block, place)) {
            return false
          }
          break
        case "All":
        case "Stream": {
          // A Stream runs in a fiber of its own, which fails if a worker fails. So the intents of all workers are
          // discarded.
          const branch: Branch = step._tag === "All" ? place.branch : { parent: place.branch, lost: false }
          const ok = !step.blocks.map((block) => child(block, { ...place, branch })).includes(false)
          if (!ok) {
            branch.lost ||= step._tag === "Stream"
            return false
          }
          break
        }
      }
    }
    return true
  }

  const ok = scoped(program, { policy: "none", always: false, eager: false }, undefined, [])
  return { left, ok }
}
