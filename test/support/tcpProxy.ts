/**
 * A proxy in front of a server that can cut its connections.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { afterAll, afterEach, beforeAll } from "vitest"

export interface TcpProxy {
  /** The port of the proxy at 127.0.0.1, once the tests run. */
  readonly port: () => number
  /** Breaks all connections, and refuses new ones. */
  readonly cut: () => void
  /** Breaks the connection when a text passes for the next time, before the server gets it. */
  readonly cutAt: (text: string) => void
  /** Lets nothing through to the server any more, and leaves connections open. */
  readonly swallow: () => void
  /** Says something to all clients, as if the server did. */
  readonly inject: (data: Uint8Array) => void
  /** The number of connections to the server. */
  readonly connections: () => number
  /** Lets connections through again. So does the end of each test. */
  readonly restore: () => void
}

/** Defines a proxy for the tests of a file. */
export const tcpProxy = (address: { readonly host: string, readonly port: number }): TcpProxy => {
  const sockets = new Set<Socket>()
  let isCut = false
  let isSwallowing = false
  let text: string | undefined
  const proxy = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const upstream = connect(address)
    const end = () => {
      client.destroy()
      upstream.destroy()
      sockets.delete(client)
    }
    sockets.add(client)
    client.on("data", (data) => {
      if (text !== undefined && data.includes(text)) {
        text = undefined
        return end()
      }
      return isSwallowing || upstream.write(data)
    })
    upstream.on("data", (data) => client.write(data))
    for (const socket of [client, upstream]) {
      socket.on("error", end).on("close", end)
    }
  })
  const restore = () => {
    isCut = false
    isSwallowing = false
    text = undefined
  }
  beforeAll(() => new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve)))
  afterEach(restore)
  afterAll(() => {
    sockets.forEach((socket) => socket.destroy())
    proxy.close()
  })
  return {
    // The server listens on a port, so its address is an object and no path.
    port: () => (proxy.address() as AddressInfo).port,
    cut: () => {
      isCut = true
      sockets.forEach((socket) => socket.destroy())
    },
    cutAt: (at) => {
      text = at
    },
    swallow: () => {
      isSwallowing = true
    },
    connections: () => sockets.size,
    inject: (data) => sockets.forEach((client) => client.write(data)),
    restore
  }
}
