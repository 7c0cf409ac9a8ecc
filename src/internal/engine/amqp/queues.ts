/**
 * The queues of RabbitMQ that an executor and its workers use: that of the jobs, one for each delay of a retry, and that of dead
 * letters.
 *
 * @internal
 */

/** @internal */
export interface Queue {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
  /** Where RabbitMQ puts messages that expire or are delivered too often. It has to be there first. */
  readonly deadLetters?: Queue
}

/**
 * How often RabbitMQ delivers a message again that nobody has acknowledged, before it is a dead letter: a job whose handler kills
 * its process each time has an end. It is what RabbitMQ 4 does by default.
 */
const deliveryLimit = 20

const quorum = { "x-queue-type": "quorum" }

/** RabbitMQ keeps a dead letter until its queue has confirmed it. */
const deadLettersTo = ({ name }: Queue) => ({
  "x-dead-letter-exchange": "",
  "x-dead-letter-routing-key": name,
  "x-dead-letter-strategy": "at-least-once",
  // That strategy asks for it.
  "x-overflow": "reject-publish"
})

/** @internal */
export const deadQueue = (name: string): Queue => ({ name: `${name}.dead`, arguments: quorum })

/** @internal */
export const jobQueue = (name: string): Queue => {
  const deadLetters = deadQueue(name)
  return {
    name,
    arguments: { ...quorum, ...deadLettersTo(deadLetters), "x-delivery-limit": deliveryLimit },
    deadLetters
  }
}

/**
 * From here messages go back to their queue after a delay. Each delay has a queue, because messages that wait for a short time
 * would wait behind those that wait for a long one.
 *
 * @internal
 */
export const retryQueue = (name: string, delayMillis: number): Queue => {
  const deadLetters = jobQueue(name)
  return {
    name: `${name}.retry.${delayMillis}`,
    arguments: { ...quorum, ...deadLettersTo(deadLetters), "x-message-ttl": delayMillis },
    deadLetters
  }
}
