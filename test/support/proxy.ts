/**
 * A TCP proxy before a database server, which breaks the connection at a statement: before the server gets it, or when
 * its answer comes.
 */
import { Effect } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export interface Cut {
  readonly statement: string
  readonly at: "request" | "answer"
}

export interface Proxy {
  readonly port: number
  /** The next time that the statement comes. */
  readonly cut: (cut: Cut) => void
}

export const proxyTo = (url: URL) =>
  Effect.acquireRelease(
    Effect.async<Proxy & { readonly close: () => void }>((resume) => {
      let next: Cut | undefined
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
        client.on("data", (data) => {
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
          } else {
            client.write(data)
          }
        })
        for (const socket of [client, upstream]) {
          socket.on("error", end).on("close", end)
        }
      })
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({
          // It listens on a port, so its address is no path.
          port: (server.address() as AddressInfo).port,
          cut: (cut) => {
            next = cut
          },
          close: () => {
            sockets.forEach((socket) => socket.destroy())
            server.close()
          }
        })))
    }),
    ({ close }) => Effect.sync(close)
  )
