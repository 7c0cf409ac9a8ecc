/**
 * Finds the enqueues of a file, and the places that run them: the call itself, and each use of a constant or function of the
 * file that holds or returns it.
 *
 * @internal
 */
import { Names } from "./names.js"
import type { Node } from "./node.js"
import { enqueues, hooks } from "./operators.js"
import { type Path, pathOf } from "./path.js"
import type { SourceCode, Variable } from "./rule.js"
import { Types } from "./types.js"

/** @internal */
export interface Site {
  /** The call that enqueues, or a reference to a variable that leads to one. */
  readonly node: Node
  /** The name of the function that is called, such as `Airlock.enqueue`, or of the variable. */
  readonly name: string
  /** Whether it enqueues, and is not the hook of a transaction. */
  readonly enqueues: boolean
  /** Whether a scope of its own is known, or may be, around the enqueue. */
  readonly isScoped: boolean
  readonly path: Path
}

/** What the rules know of a file. @internal */
export interface Analysis {
  readonly names: Names
  readonly types: Types | undefined
  readonly sites: ReadonlyArray<Site>
}

const analyses = new WeakMap<Node, Analysis>()

/** The rules share one analysis of a file. The tree must be complete: call this when the program ends. @internal */
export const analysisOf = (source: SourceCode): Analysis => {
  const known = analyses.get(source.ast)
  if (known !== undefined) {
    return known
  }
  const names = new Names(source)
  const types = Types.of(source)
  const analysis: Analysis = { names, types, sites: sitesIn(names, types) }
  analyses.set(source.ast, analysis)
  return analysis
}

const sitesIn = (names: Names, types: Types | undefined): ReadonlyArray<Site> => {
  const sites: Array<Site> = []
  const seen = { scoped: new Set<Variable>(), unscoped: new Set<Variable>() }

  const add = (site: Omit<Site, "path">, isFunction: boolean): void => {
    const path = pathOf(names, types, site.node, isFunction)
    sites.push({ ...site, path })
    if (path.end.kind !== "variable") {
      return
    }
    const { isFunction: returnsIt, variable } = path.end
    const isScoped = site.isScoped || path.applied.some(({ operator: { kind } }) => kind !== "effect")
    const visited = isScoped ? seen.scoped : seen.unscoped
    if (!visited.has(variable)) {
      visited.add(variable)
      for (const reference of variable.references) {
        if (reference.isRead()) {
          add({ ...site, node: reference.identifier, name: variable.name, isScoped }, returnsIt)
        }
      }
    }
  }

  for (const node of names.callsOf(isEnqueue(names))) {
    const name = names.ofAirlock(node.callee)!
    add({ node, name, enqueues: enqueues.has(name), isScoped: false }, false)
  }
  return sites
}

const isEnqueue = (names: Names) => (callee: Node): boolean => {
  const name = names.ofAirlock(callee)
  return name !== undefined && (enqueues.has(name) || hooks.has(name))
}
