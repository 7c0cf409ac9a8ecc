/**
 * A TCP proxy for a database server. It breaks the connection at a statement: before the server gets the statement, or
 * before the client gets the answer. Or it leaves connections half-open.
 */
import { Effect } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export interface Cut {
  readonly statement: string
  readonly at: "request" | "answer"
}

export interface Proxy {
  readonly port: number
  /** Breaks the connection when the statement comes for the next time. */
  readonly cut: (cut: Cut) => void
  /**
   * From now on no data passes on the connections that are open, and they stay open: the other side is gone without a word.
   * New connections are not affected.
   */
  readonly freeze: () => void
}

export const proxyTo = (url: URL) =>
  Effect.acquireRelease(
    Effect.async<Proxy & { readonly close: () => void }>((resume) => {
      let next: Cut | undefined
      let frozen = 0
      const sockets = new Set<Socket>()
      const server = createServer((client) => {
        const upstream = connect({ host: url.hostname, port: Number(url.port) })
        const end = () => {
          client.destroy()
          upstream.destroy()
          sockets.delete(client)
        }
        sockets.add(client)
        let answerIsCut = false
        const generation = frozen
        client.on("data", (data) => {
          if (generation < frozen) {
            return
          }
          if (next !== undefined && data.includes(next.statement)) {
            const { at } = next
            next = undefined
            if (at === "request") {
              return end()
            }
            answerIsCut = true
          }
          upstream.write(data)
        })
        upstream.on("data", (data) => {
          if (answerIsCut) {
            end()
          } else if (generation === frozen) {
            client.write(data)
          }
        })
        for (const socket of [client, upstream]) {
          socket.on("error", end).on("close", end)
        }
      })
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({
          // The server listens on a port, so its address is an object and no path.
          port: (server.address() as AddressInfo).port,
          cut: (cut) => {
            next = cut
          },
          freeze: () => {
            frozen++
          },
          close: () => {
            sockets.forEach((socket) => socket.destroy())
            server.close()
          }
        })))
    }),
    ({ close }) => Effect.sync(close)
  )
