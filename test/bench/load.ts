/**
 * A load generator for a process of its own. It sends requests over raw sockets, one at a time on each connection, and
 * reports how long they took.
 */
import { connect } from "node:net"

interface Order {
  readonly port: number
  readonly path: string
  readonly requests: number
  readonly connections: number
  /** Sends a POST with a body of JSON instead of a GET, each with an idempotency key of its own. Default: `false`. */
  readonly posts?: boolean
}

/** The milliseconds of all requests together, and the 99th percentile of a single one. */
export interface Load {
  readonly millis: number
  readonly p99: number
}

const body = JSON.stringify({ name: "seven", count: 7 })

let keys = 0

const run = ({ connections, path, port, posts = false, requests }: Order): Promise<Load> =>
  new Promise((resolve, reject) => {
    const request = () =>
      posts
        ? `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${body.length}\r\nIdempotency-Key: key-${++keys}\r\n\r\n${body}`
        : `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
    const started = process.hrtime.bigint()
    let sent = 0
    let answered = 0
    const latencies: Array<number> = []
    for (let i = 0; i < connections; i++) {
      const socket = connect(port, "127.0.0.1")
      socket.setNoDelay(true)
      let asked = 0
      const send = () => {
        if (sent < requests) {
          sent++
          asked = performance.now()
          socket.write(request())
        } else {
          socket.end()
        }
      }
      socket.on("connect", send)
      socket.on("error", reject)
      // The responses have no body, so each one ends with its headers.
      socket.on("data", (data) => {
        if (!data.includes("\r\n\r\n") || !data.includes(" 204 ")) {
          reject(new Error(`unexpected answer: ${data}`))
        }
        latencies.push(performance.now() - asked)
        answered++
        if (answered === requests) {
          latencies.sort((a, b) => a - b)
          const millis = Number(process.hrtime.bigint() - started) / 1e6
          resolve({ millis, p99: latencies[Math.floor(requests * 0.99)]! })
        }
        send()
      })
    }
  })

process.on("message", (order: Order) => {
  run(order).then((load) => process.send!(load))
})
