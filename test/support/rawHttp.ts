/**
 * A client that sends bytes as they are, which no client of HTTP would.
 */
import { Effect } from "effect"
import { connect, type Socket } from "node:net"

/**
 * Sends texts, one byte a character, on one connection. Returns all that the server has answered when it closes the connection, or
 * when `isWhole` says so.
 */
export const onSocket = (
  port: number,
  texts: ReadonlyArray<string>,
  isWhole: (answer: string) => boolean = () => false
): Effect.Effect<string> =>
  Effect.async((resume) => {
    let answer = ""
    const end = () => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    const socket: Socket = connect(port, "127.0.0.1", () => texts.forEach((text) => socket.write(text, "latin1")))
    socket.on("close", end).on("error", end).on("data", (data: Buffer) => {
      answer += data.toString("latin1")
      if (isWhole(answer)) {
        end()
      }
    })
  })
