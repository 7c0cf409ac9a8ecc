/**
 * PostgreSQL with a proxy in front of it that can cut the connections.
 */
import { postgres } from "./servers.js"
import { type TcpProxy, tcpProxy } from "./tcpProxy.js"

export interface PgProxy extends Omit<TcpProxy, "port"> {
  /** The address of the database through the proxy, once the tests run. */
  readonly throughProxy: () => string
}

/** Defines a proxy in front of a database, for the tests of a file. */
export const pgProxy = (database: () => URL): PgProxy => {
  const { port, ...proxy } = tcpProxy({ host: postgres.url.hostname, port: Number(postgres.url.port || 5432) })
  return {
    ...proxy,
    throughProxy: () => {
      const url = new URL(database())
      url.hostname = "127.0.0.1"
      url.port = String(port())
      return url.href
    }
  }
}
