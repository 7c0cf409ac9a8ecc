/**
 * SHA-256. Node, Bun and Deno have a synchronous function for it, which is much faster for small inputs; elsewhere there is
 * `crypto.subtle`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"

/** The part of `node:crypto` that is used. */
interface NodeCrypto {
  readonly createHash: (algorithm: "sha256") => Hash
  /** Twice as fast for small inputs. Node has it since 20.12. */
  readonly hash?: (algorithm: "sha256", data: string | Uint8Array, encoding: "hex") => string
}

interface Hash {
  readonly update: (data: string | Uint8Array) => Hash
  readonly digest: (encoding: "hex") => string
}

interface Host {
  readonly process?: { readonly getBuiltinModule?: (name: string) => unknown }
}

/** @internal */
export const nodeCrypto = (host: Host): NodeCrypto | undefined => {
  try {
    // The module exists under this name where the function does.
    return host.process?.getBuiltinModule?.("node:crypto") as NodeCrypto | undefined
  } catch {
    return undefined
  }
}

/** Returns a function that makes hashes: at once if the host can. @internal */
export const sha256With =
  (node: NodeCrypto | undefined) => (text: string, bytes: Uint8Array = none): string | Effect.Effect<string> =>
    node === undefined
      ? Effect.map(
        Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", joined(utf8.encode(text), bytes))),
        (hash) => Encoding.encodeHex(new Uint8Array(hash))
      )
      : node.hash !== undefined && bytes.length < small
      ? node.hash("sha256", bytes.length === 0 ? text : joined(utf8.encode(text), bytes), "hex")
      : node.createHash("sha256").update(text).update(bytes).digest("hex")

/** To copy so many bytes costs less than what the faster function saves. */
const small = 4096

const utf8 = new TextEncoder()

const none = new Uint8Array()

/** The hash of a text and the bytes after it, as 64 hexadecimal digits. @internal */
export const sha256 = sha256With(nodeCrypto(globalThis as Host))

const joined = (first: Uint8Array, second: Uint8Array) => {
  const all = new Uint8Array(first.length + second.length)
  all.set(first)
  all.set(second, first.length)
  return all
}
