/**
 * The problems that code announces itself: a line that a rule reports ends with a comment `// lint: rule`, or
 * `// lint (typed): rule` if the rule needs types for it.
 */
import type { ESLint } from "eslint"
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"

/** The problems that the comments announce in folders of a project, as `file:line rule`. */
export const announcedIn = (
  project: string,
  folders: ReadonlyArray<string>,
  options: { readonly typed: boolean }
): ReadonlyArray<string> =>
  folders.flatMap((folder) =>
    readdirSync(join(project, folder), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))
      .flatMap((name) =>
        readFileSync(join(project, folder, name), "utf8").split("\n").flatMap((line, index) => {
          const [, onlyTyped, rule] = /\/\/ lint( \(typed\))?: ([\w-]+)$/.exec(line) ?? []
          return rule === undefined || onlyTyped !== undefined && !options.typed
            ? []
            : [`${folder}/${name}:${index + 1} ${rule}`]
        })
      )
  ).sort()

/** The problems that ESLint found, in the same form. */
export const foundIn = (project: string, results: ReadonlyArray<ESLint.LintResult>): ReadonlyArray<string> =>
  results.flatMap(({ filePath, messages }) =>
    messages.map(({ line, message, ruleId }) =>
      `${relative(project, filePath)}:${line} ${ruleId?.replace("effect-airlock/", "") ?? message}`
    )
  ).sort()
