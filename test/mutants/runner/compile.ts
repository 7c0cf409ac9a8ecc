/** Compiles mutants: one that does not compile would crash instead of misbehaving, which proves nothing. */
import { resolve } from "node:path"
import ts from "typescript"
import type { Mutation, Problem } from "./apply.js"

/** The mutants that do not compile, or because of which another file does not. */
export const compile = (mutations: ReadonlyArray<Mutation>): ReadonlyArray<Problem> =>
  suspectsOf(mutations).flatMap(({ mutation, reach }) => {
    const file = resolve(mutation.mutant.file)
    const program = programOf(sourceFiles, new Map([[file, mutation.text]]))
    const [error] = errorsIn(program, reach === "its file" ? [file] : sourceFiles)
    return error === undefined ? [] : [{ mutant: mutation.mutant, message: messageOf(error) }]
  })

const options: ts.CompilerOptions = {
  ...ts.convertCompilerOptionsFromJson(
    ts.readConfigFile("tsconfig.json", ts.sys.readFile).config.compilerOptions,
    process.cwd()
  ).options,
  noEmit: false,
  declaration: true,
  emitDeclarationOnly: true,
  allowUnreachableCode: true,
  noUnusedLocals: false,
  noUnusedParameters: false
}

const sourceFiles = ts.sys.readDirectory("src", [".ts"]).map((file) => resolve(file))

interface Suspect {
  readonly mutation: Mutation
  /** Where errors may be. */
  readonly reach: "its file" | "all files"
}

/**
 * A quick look at all mutants in one program, each as a copy of its file beside the original, which other files still
 * import. A mutant is fine if its copy compiles and declares what the original declares. One that is not may still be: a
 * class of a copy is another class than that of the original.
 */
const suspectsOf = (mutations: ReadonlyArray<Mutation>): ReadonlyArray<Suspect> => {
  const copies = mutations.map(({ mutant: { file } }, index) => resolve(`${file.slice(0, -3)}.mutant${index}.ts`))
  const texts = new Map(mutations.map(({ text }, index) => [copies[index]!, text]))
  const program = programOf([...sourceFiles, ...copies], texts)
  return mutations.flatMap((mutation, index): ReadonlyArray<Suspect> => {
    const copy = copies[index]!
    return declarationsOf(program, copy) !== declarationsOf(program, resolve(mutation.mutant.file))
      ? [{ mutation, reach: "all files" }]
      : errorsIn(program, [copy]).length > 0
      ? [{ mutation, reach: "its file" }]
      : []
  })
}

const parsed = new Map<string, ts.SourceFile | undefined>()

const programOf = (files: ReadonlyArray<string>, texts: ReadonlyMap<string, string>): ts.Program => {
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile, readFile } = host
  host.fileExists = (file) => texts.has(file) || fileExists(file)
  host.readFile = (file) => texts.get(file) ?? readFile(file)
  host.getSourceFile = (file, ...rest) => {
    if (texts.has(file)) {
      return getSourceFile(file, ...rest)
    }
    if (!parsed.has(file)) {
      parsed.set(file, getSourceFile(file, ...rest))
    }
    return parsed.get(file)
  }
  return ts.createProgram([...files], options, host)
}

const errorsIn = (program: ts.Program, files: ReadonlyArray<string>): ReadonlyArray<ts.Diagnostic> =>
  files.flatMap((file) => {
    const source = program.getSourceFile(file)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  })

const declarationsOf = (program: ts.Program, file: string): string => {
  let declarations = ""
  program.emit(
    program.getSourceFile(file),
    (_, text) => {
      declarations = text
    },
    undefined,
    true
  )
  return declarations
}

const messageOf = ({ file, messageText, start }: ts.Diagnostic): string => {
  const place = file === undefined
    ? ""
    : `${file.fileName}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}: `
  return `does not compile: ${place}${ts.flattenDiagnosticMessageText(messageText, "\n      ")}`
}
