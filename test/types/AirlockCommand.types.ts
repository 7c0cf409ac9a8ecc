/**
 * Commands that must compile, and commands that must not.
 */
import { Command, Options } from "@effect/cli"
import type { Terminal } from "@effect/platform"
import type { SqlClient, SqlError } from "@effect/sql"
import { Context, Effect, Schema, Stream } from "effect"
import { Airlock, type AirlockError, Policy, Task } from "effect-airlock"
import * as AirlockCommand from "effect-airlock/AirlockCommand"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A>() => <B>(value: B, ...same: Equals<A, B> extends true ? [] : [never]) => ({ value, same })

const Mail = Task.make("Mail", { payload: { to: Schema.String } })

class Service extends Context.Tag("Service")<Service, { readonly do: Effect.Effect<number, "oops"> }>() {}

const program = Effect.zipRight(Airlock.enqueue(Mail, { to: "a" }), Effect.flatMap(Service, (service) => service.do))

const command = Command.make("send", { twice: Options.boolean("twice") }, () => Effect.asVoid(program))

type Config = { readonly twice: boolean }
type Failed =
  | "oops"
  | AirlockError.FlushError<void>
  | AirlockError.PolicyFailedError
  | AirlockError.SettleTimeoutError
type Transaction = SqlError.SqlError | AirlockError.CommitUnknownError

// The handler's scope is no requirement any more, and its errors gain those of the scope.
type InScope = Command.Command<"send", Service | Airlock.Airlock, Failed, Config>
is<InScope>()(AirlockCommand.scoped(command))
is<InScope>()(command.pipe(AirlockCommand.scoped))
is<InScope>()(command.pipe(AirlockCommand.scoped({ rows: 3 })))
is<InScope>()(AirlockCommand.scoped(command, { rollback: false }))

// A transaction needs a client.
type InTransaction = Command.Command<
  "send",
  Service | Airlock.Airlock | SqlClient.SqlClient,
  Failed | Transaction,
  Config
>
is<InTransaction>()(command.pipe(AirlockCommand.scoped({ rollback: true })))
is<InTransaction>()(AirlockCommand.scoped(command, { rollback: true }))

// So do policies and approvals need their services, and onFlushError replaces the error.
class Flags extends Context.Tag("Flags")<Flags, boolean>() {}
const flagged = Policy.make({ name: "flagged", allows: () => Effect.map(Flags, (on) => on || { drop: "off" }) })
is<
  Command.Command<
    "send",
    Service | Airlock.Airlock | Flags,
    Exclude<Failed, { readonly _tag: "FlushError" }> | "mine",
    Config
  >
>()(
  command.pipe(AirlockCommand.scoped({ policy: flagged, onFlushError: () => Effect.fail("mine" as const) }))
)

// @ts-expect-error an unknown option
AirlockCommand.scoped({ rowz: 3 })
// @ts-expect-error an unknown option
AirlockCommand.scoped(command, { rollbak: true })

// A scope for each chunk. The Stream itself stands outside of them.
type ChunkContext = Service | Airlock.Airlock | Terminal.Terminal
const chunked = AirlockCommand.runForEachChunk(Stream.range(1, 3), () => program)
is<Effect.Effect<void, Failed, ChunkContext>>()(chunked)
is<Effect.Effect<void, Failed, ChunkContext>>()(
  Stream.range(1, 3).pipe(AirlockCommand.runForEachChunk((chunk) => Effect.as(program, chunk), { size: 2 }))
)
is<Effect.Effect<void, Failed | Transaction, ChunkContext | SqlClient.SqlClient>>()(
  Stream.range(1, 3).pipe(AirlockCommand.runForEachChunk(() => program, { transaction: true }))
)
const flaggedChunks = AirlockCommand.runForEachChunk(Stream.range(1, 3), () => program, { policy: flagged })
is<Effect.Effect<void, Failed, ChunkContext | Flags>>()(flaggedChunks)
// @ts-expect-error an unknown option
AirlockCommand.runForEachChunk(Stream.range(1, 3), () => program, { sise: 2 })
