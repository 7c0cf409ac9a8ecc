/**
 * Finds out whether a value stays the same when it is written as JSON and read again: from the AST of its Schema where that
 * shows it, else from the value.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** The refinements of numbers that exclude NaN and the infinities. */
const finite = new Set<unknown>([Schema.FiniteSchemaId, Schema.IntSchemaId, Schema.JsonNumberSchemaId])

/** Whether JSON keeps everything that a Schema encodes. `false` if its AST does not show it. @internal */
export const isJsonSafe = (ast: AST.AST): boolean => ast._tag === "VoidKeyword" || isSafe(ast, new Set())

const isSafe = (ast: AST.AST, suspended: Set<AST.AST>): boolean => {
  switch (ast._tag) {
    case "StringKeyword":
    case "BooleanKeyword":
    case "TemplateLiteral":
    case "Enums":
    case "NeverKeyword":
      return true
    case "Literal":
      return typeof ast.literal === "number" ? Number.isFinite(ast.literal) : typeof ast.literal !== "bigint"
    case "Refinement":
      return (finite.has(ast.annotations[AST.SchemaIdAnnotationId]) && refinesNumber(ast)) ||
        isSafe(ast.from, suspended)
    case "Transformation":
      return isSafe(ast.from, suspended) && (!isParseJson(ast.from) || isSafe(ast.to, suspended))
    case "Suspend":
      return suspended.has(ast) || isSafe(ast.f(), suspended.add(ast))
    case "Union":
      return ast.types.every((type) => isSafe(type, suspended))
    case "TupleType":
      return [...ast.elements, ...ast.rest].every(({ type }) => isSafe(type, suspended))
    case "TypeLiteral":
      return ast.propertySignatures.every(({ name, type }) =>
        typeof name === "string" && isSafeField(type, suspended)
      ) &&
        ast.indexSignatures.every(({ parameter, type }) => isSafe(parameter, suspended) && isSafeField(type, suspended))
    default:
      return false
  }
}

/** A refinement of a transformation encodes what the transformation encodes, and that may be no number. */
const refinesNumber = (ast: AST.AST): boolean =>
  ast._tag === "Refinement" ? refinesNumber(ast.from) : ast._tag === "NumberKeyword"

/** `Schema.parseJson(schema)` is composed of this and of the Schema. */
const isParseJson = (ast: AST.AST): boolean => ast.annotations[AST.SchemaIdAnnotationId] === AST.ParseJsonSchemaId

/**
 * Whether a Schema encodes a part of its value as JSON inside a text, and its AST does not show that JSON keeps that part. The
 * encoded value is then a text that JSON keeps: only decoding shows what was lost.
 *
 * @internal
 */
export const hidesJson = (ast: AST.AST, seen: Set<AST.AST> = new Set()): boolean => {
  if (seen.has(ast)) {
    return false
  }
  seen.add(ast)
  const hides = (inner: AST.AST): boolean => hidesJson(inner, seen)
  switch (ast._tag) {
    case "Transformation":
      return (isParseJson(ast.from) && !isJsonSafe(ast.to)) || hides(ast.from)
    case "Refinement":
      return hides(ast.from)
    case "Suspend":
      return hides(ast.f())
    case "Union":
      return ast.types.some(hides)
    case "TupleType":
      return [...ast.elements, ...ast.rest].some(({ type }) => hides(type))
    case "TypeLiteral":
      return [...ast.propertySignatures, ...ast.indexSignatures].some(({ type }) => hides(type))
    case "Declaration":
      return ast.typeParameters.some(hides)
    default:
      return false
  }
}

/** JSON leaves out a field that is undefined, and a Schema reads a missing field as undefined. */
const isSafeField = (ast: AST.AST, suspended: Set<AST.AST>): boolean =>
  ast._tag === "UndefinedKeyword" || ast._tag === "VoidKeyword" ||
  (ast._tag === "Union" ? ast.types.every((type) => isSafeField(type, suspended)) : isSafe(ast, suspended))

/** Whether JSON keeps a value. Quicker than {@link issuesOfJson}, which names the places. */
const isJson = (value: unknown): boolean => {
  if (typeof value !== "object") {
    return typeof value === "string" || typeof value === "boolean" ||
      (typeof value === "number" && Number.isFinite(value))
  }
  if (value === null) {
    return true
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      if (!isJson(value[index])) {
        return false
      }
    }
    return true
  }
  if (!isPlain(value) || Object.getOwnPropertySymbols(value).length > 0) {
    return false
  }
  for (const key in value) {
    const field = (value as Record<string, unknown>)[key]
    if (field !== undefined && !isJson(field)) {
      return false
    }
  }
  return true
}

/** What JSON would change or lose of a value, one line for each place: `price: expected a finite number`. @internal */
export const issuesOfJson = (value: unknown): ReadonlyArray<string> => {
  const issues: Array<string> = []
  if (!isJson(value)) {
    visit(value, "", issues)
  }
  return issues
}

const visit = (value: unknown, path: string, issues: Array<string>): void => {
  if (value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)) {
    return
  }
  const expect = (what: string) => issues.push(`${path === "" ? "payload" : path}: expected ${what}`)
  if (typeof value === "number") {
    expect("a finite number")
  } else if (typeof value !== "object") {
    expect(`what JSON keeps, not ${value === undefined ? "undefined" : `a ${typeof value}`}`)
  } else if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      visit(value[index], `${path}[${index}]`, issues)
    }
  } else if (!isPlain(value)) {
    const { name } = value.constructor ?? {}
    expect(
      `what JSON keeps, not ${name === undefined || name === "Object" ? "an object with a prototype" : `a ${name}`}`
    )
  } else if (Object.getOwnPropertySymbols(value).length > 0) {
    expect("no symbols as keys")
  } else {
    for (const [key, field] of Object.entries(value)) {
      if (field !== undefined) {
        visit(field, path === "" ? key : `${path}.${key}`, issues)
      }
    }
  }
}

/** The prototype of a plain object has no prototype, in each realm. */
const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
