/**
 * Which settings hold for a request: those of its route, if the middleware has options for it, else its own.
 */
import type * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Equal from "effect/Equal"
import {
  type IdempotencyOptions,
  IdempotencyOptionsError,
  type IdempotencyRoute,
  type Settings,
  settingsOf
} from "./options.js"

/**
 * The annotation of an endpoint or a group of an `HttpApi`. That of an endpoint counts before that of its group, and that before
 * the one of the API.
 *
 * @since 0.1.0
 * @category annotations
 */
export class Endpoint extends Context.Tag("effect-airlock/Idempotency/Endpoint")<Endpoint, IdempotencyOptions>() {}

/** @internal */
export interface MiddlewareOptions extends IdempotencyOptions {
  readonly routes?: ReadonlyArray<IdempotencyRoute>
  readonly api?: HttpApi.HttpApi.Any
}

/** @internal */
export type FindSettings = (request: HttpServerRequest) => Settings

type Method = NonNullable<IdempotencyRoute["method"]>

const unsafeMethods: ReadonlyArray<Method> = ["POST", "PUT", "PATCH", "DELETE"]

/** A declaration for one method and path, and where it was made. */
interface Declared {
  readonly method: string
  readonly path: string
  readonly options: IdempotencyOptions
  readonly where: string
}

const declaredByRoutes = (routes: ReadonlyArray<IdempotencyRoute>): ReadonlyArray<Declared> =>
  routes.flatMap(({ method, path, ...options }, i) =>
    (method === undefined ? unsafeMethods : [method]).map((method) => ({
      method,
      path,
      options,
      where: `routes[${i}]`
    }))
  )

/** The type of an `HttpApi` hides its parts. */
interface Parts {
  readonly annotations: Context.Context<never>
  readonly groups: Readonly<Record<string, HttpApiGroup.HttpApiGroup.AnyWithProps>>
}

const declaredByApi = (api: HttpApi.HttpApi.Any): ReadonlyArray<Declared> => {
  const { annotations, groups } = api as unknown as Parts
  return Object.values(groups).flatMap((group) =>
    Object.values(group.endpoints as Readonly<Record<string, HttpApiEndpoint.HttpApiEndpoint.AnyWithProps>>).flatMap(
      (endpoint) => {
        const all = [annotations, group.annotations, endpoint.annotations]
        const declared = all.map((annotations) => annotations.unsafeMap.get(Endpoint.key)).filter((one) =>
          one !== undefined
        )
        const where = `the annotation of the endpoint "${endpoint.name}"`
        return declared.length === 0
          ? []
          : [{ method: endpoint.method, path: endpoint.path, options: Object.assign({}, ...declared), where }]
      }
    )
  )
}

/** The path as a router sees it: the names of parameters, the case and further slashes do not matter. */
const routeOf = ({ method, path }: Declared): string =>
  `${method} ${path.toLowerCase().replaceAll(/:\w+/g, ":").replaceAll(/\/+/g, "/").replace(/(?<=.)\/$/, "")}`

/** Throws if a route is declared twice, and the declarations contradict each other. */
const withoutContradictions = (all: ReadonlyArray<Declared>): ReadonlyArray<Declared> => {
  const byRoute = new Map<string, Declared>()
  for (const declared of all) {
    const route = routeOf(declared)
    const other = byRoute.get(route)
    const option = other && contradiction(other.options, declared.options)
    if (other !== undefined && option !== undefined) {
      const [here, there] = [declared.options.mode, other.options.mode]
      throw new IdempotencyOptionsError({
        reason: `${declared.method} ${declared.path} ${
          option === "mode"
            ? `is ${there} by ${other.where}, and ${here} by`
            : `has one \`${option}\` by ${other.where}, and another one by`
        } ${declared.where}. Declare it once.`
      })
    }
    byRoute.set(
      route,
      other === undefined ? declared : { ...other, options: { ...other.options, ...declared.options } }
    )
  }
  return [...byRoute.values()]
}

/** An option that two declarations have, with different values. */
const contradiction = (one: IdempotencyOptions, other: IdempotencyOptions): keyof IdempotencyOptions | undefined =>
  // The names are those of the type.
  (Object.keys(one) as Array<keyof IdempotencyOptions>).find((name) =>
    name in other && !Equal.equals(one[name], other[name])
  )

/**
 * Reads the options, which must not contradict each other. `defaults` are those of the application's configuration.
 *
 * @internal
 */
export const findSettings = (
  { api, routes = [], ...options }: MiddlewareOptions,
  defaults: IdempotencyOptions
): FindSettings => {
  const base = { ...defaults, ...options }
  const settings = settingsOf(base)
  const declared = withoutContradictions([...declaredByRoutes(routes), ...api === undefined ? [] : declaredByApi(api)])
  if (declared.length === 0) {
    return () => settings
  }
  // A router whose parameters may be longer than by default sends its requests here too.
  const router = HttpLayerRouter.FindMyWay.make<Settings>({ maxParamLength: Number.MAX_SAFE_INTEGER })
  for (const { method, options, path, where } of declared) {
    const settings = settingsOf({ ...base, ...options })
    try {
      // A path of an API has the same form.
      router.on(method as Method, path as `/${string}`, settings)
    } catch (error) {
      // Optional parameters and patterns make paths overlap in more ways, and some paths have no meaning.
      const reason = error instanceof Error ? error.message : String(error)
      throw new IdempotencyOptionsError({ reason: `${method} ${path}, by ${where}: ${reason}` })
    }
  }
  return ({ method, originalUrl }) =>
    router.find(method as Method, originalUrl.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, ""))?.handler ?? settings
}
