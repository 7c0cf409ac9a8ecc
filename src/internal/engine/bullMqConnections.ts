/**
 * What BullMQ leaves to us of its connections: they end although Redis is away, and their errors show no secrets.
 *
 * @internal
 */
import { Queue, type QueueOptions, Worker } from "bullmq"

/** A queue whose connection ends when it closes. BullMQ's own goes on to connect if Redis is away then. @internal */
export class ClosableQueue extends Queue {
  private end: (() => void) | undefined

  constructor(name: string, options: QueueOptions) {
    super(name, options)
    // A client of the application is not ours to end.
    if (!("duplicate" in options.connection)) {
      this.client.then((client) => {
        this.end = () => client.disconnect()
      }, ignore)
    }
  }

  /** Ends the connection, whatever became of `close`. */
  abandon(): void {
    ignoreErrors(this.connection)
    this.end?.()
  }
}

/** A worker whose connection and timers end, although it could not close. @internal */
export class ClosableWorker<Data> extends Worker<Data, void> {
  /** For the end of `close`, which waits for Redis. It does nothing if that was there. */
  abandon(): void {
    this.lockManager.close().catch(ignore)
    this.connection.close(true).catch(ignore)
    ignoreErrors(this.connection)
    ignoreErrors(this["blockingConnection"])
  }
}

const ignore = (): void => undefined

/** BullMQ removes its listeners. An error without a listener is thrown, where nobody can catch it. */
const ignoreErrors = (connection: { readonly on: (event: "error", ignore: () => void) => unknown }): void => {
  connection.on("error", ignore)
}

/**
 * The error without the commands that failed. Their arguments are passwords, payloads and whole scripts, and Redis's answer says
 * enough.
 *
 * @internal
 */
export const withoutCommands = (error: unknown): unknown => {
  if (!(error instanceof Error) || !("command" in error || "previousErrors" in error)) {
    return error
  }
  const { message, name, stack } = error
  return Object.defineProperties(new Error(message), {
    name: { value: name },
    stack: { value: stack }
  })
}
