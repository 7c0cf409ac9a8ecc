/**
 * A load generator in a process of its own: keeps connections busy over raw sockets, one request at a time each, and
 * says how many milliseconds a number of requests took.
 */
import { connect } from "node:net"

interface Order {
  readonly port: number
  readonly path: string
  readonly requests: number
  readonly connections: number
}

const run = ({ connections, path, port, requests }: Order): Promise<number> =>
  new Promise((resolve, reject) => {
    const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
    const started = process.hrtime.bigint()
    let sent = 0
    let answered = 0
    for (let i = 0; i < connections; i++) {
      const socket = connect(port, "127.0.0.1")
      socket.setNoDelay(true)
      const send = () => {
        if (sent < requests) {
          sent++
          socket.write(request)
        } else {
          socket.end()
        }
      }
      socket.on("connect", send)
      socket.on("error", reject)
      // The answers have no body: each one ends with its headers.
      socket.on("data", (data) => {
        if (!data.includes("\r\n\r\n") || !data.includes(" 204 ")) {
          reject(new Error(`unexpected answer: ${data}`))
        }
        answered++
        if (answered === requests) {
          resolve(Number(process.hrtime.bigint() - started) / 1e6)
        }
        send()
      })
    }
  })

process.on("message", (order: Order) => {
  run(order).then((millis) => process.send!(millis))
})
