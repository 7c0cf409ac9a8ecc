/**
 * Shows how far a long command is: a bar on a terminal, and plain lines elsewhere.
 *
 * @internal
 */
import * as Terminal from "@effect/platform/Terminal"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** @internal */
export interface ProgressOptions {
  readonly total: number | undefined
  /** What is counted, in the plural. */
  readonly unit: string
  readonly isDryRun: boolean
  /** Whether standard output belongs to something else, so that the progress goes to standard error. */
  readonly isApart: boolean
}

/** @internal */
export interface Progress {
  readonly advance: (count: number) => Effect.Effect<void>
  readonly end: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

/** The least time between two frames of the bar, and between two lines, in milliseconds. */
const betweenFrames = 100
const betweenLines = 5000

/** @internal */
export const makeProgress = (options: ProgressOptions): Effect.Effect<Progress, never, Terminal.Terminal> =>
  Effect.gen(function*() {
    const terminal = yield* Terminal.Terminal
    const hasBar = !options.isApart && (yield* terminal.isTTY)
    const began = yield* Clock.currentTimeMillis
    let shown = began
    let done = 0
    const prefix = options.isDryRun ? "dry run: " : ""
    const print = (text: string) => (options.isApart ? Console.error : Console.log)(`${prefix}${text}`)
    const draw = (now: number): Effect.Effect<void> =>
      Effect.flatMap(terminal.columns, (columns) =>
        // It starts the line anew, and removes what is left of a longer one. Without a terminal there is nothing to show.
        Effect.ignore(terminal.display(`\r${bar({ ...options, done, millis: now - began, columns })}\u001b[K`)))
    const advance = (count: number): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        done += count
        if (now - shown < (hasBar ? betweenFrames : betweenLines)) {
          return Effect.void
        }
        shown = now
        return hasBar ? draw(now) : print(sentence({ ...options, done, millis: now - began }))
      })
    const end = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const last = Exit.isSuccess(exit)
          ? sentence({ ...options, done, millis: now - began })
          : `stopped after ${sentence({ ...options, done, millis: now - began })}`
        return hasBar
          ? Effect.zipRight(
            draw(now),
            Effect.ignore(terminal.display(Exit.isSuccess(exit) ? "\n" : `\n${last}\n`))
          )
          : print(last)
      })
    return { advance, end }
  })

interface State extends ProgressOptions {
  readonly done: number
  readonly millis: number
}

const sentence = ({ done, millis, total, unit }: State): string =>
  total === undefined
    ? `${done} ${unit} in ${seconds(millis)}`
    : `${done} of ${total} ${unit} (${percent(done, total)}%) in ${seconds(millis)}`

const widthOfBar = 30

const bar = ({ columns, done, isDryRun, millis, total, unit }: State & { readonly columns: number }): string => {
  const prefix = isDryRun ? "dry run: " : ""
  const rate = millis === 0 ? "" : `  ${Math.round(done / millis * 1000)}/s`
  const text = total === undefined
    ? `${done} ${unit}${rate}`
    : `${drawn(done, total)} ${String(percent(done, total)).padStart(3)}%  ${done}/${total} ${unit}${rate}${
      left({ done, millis, total })
    }`
  // A line that is longer than the terminal would scroll at each frame. A terminal of unknown width has 0 columns.
  return columns > 1 ? `${prefix}${text}`.slice(0, columns - 1) : `${prefix}${text}`
}

const drawn = (done: number, total: number): string => {
  const filled = total === 0 ? widthOfBar : Math.min(widthOfBar, Math.round(done * widthOfBar / total))
  return `[${"#".repeat(filled)}${"-".repeat(widthOfBar - filled)}]`
}

const left = ({ done, millis, total }: { readonly done: number, readonly millis: number, readonly total: number }) =>
  done === 0 || done >= total ? "" : `  ${seconds(millis / done * (total - done))} left`

/** More can be done than was counted before. */
const percent = (done: number, total: number): number =>
  total === 0 ? 100 : Math.min(100, Math.floor(done * 100 / total))

const seconds = (millis: number): string => {
  const whole = Math.round(millis / 1000)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}
