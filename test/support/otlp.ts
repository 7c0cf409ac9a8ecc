/**
 * An OTLP collector in memory: it decodes the spans that an exporter sends as JSON over HTTP.
 */
import { OtlpSerialization, OtlpTracer } from "@effect/opentelemetry"
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { Effect, Layer } from "effect"

interface Value {
  readonly stringValue?: string
  readonly intValue?: string | number
  readonly doubleValue?: number
}

export interface OtlpSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: ReadonlyArray<{ readonly key: string, readonly value: Value }>
  readonly events: ReadonlyArray<{ readonly name: string, readonly attributes: OtlpSpan["attributes"] }>
  readonly links: ReadonlyArray<{ readonly traceId: string, readonly spanId: string }>
}

export const attribute = ({ attributes }: Pick<OtlpSpan, "attributes">, key: string): unknown =>
  Object.values(attributes.find((attribute) => attribute.key === key)?.value ?? {})[0]

export const collector = () => {
  const spans: Array<OtlpSpan> = []
  const client: HttpClient.HttpClient = HttpClient.make((request) =>
    Effect.sync(() => {
      const body = request.body as { readonly body: Uint8Array }
      const { resourceSpans } = JSON.parse(new TextDecoder().decode(body.body)) as {
        readonly resourceSpans: ReadonlyArray<{
          readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<OtlpSpan> }>
        }>
      }
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
      return HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))
    })
  )
  const layer = OtlpTracer.layer({ url: "http://collector/v1/traces", resource: { serviceName: "shop" } }).pipe(
    Layer.provide(OtlpSerialization.layerJson),
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )
  return { spans, layer }
}
