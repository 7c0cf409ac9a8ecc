import * as OutboxSuite from "effect-airlock/testing/OutboxSuite"
import { onEachDatabase } from "../support/databases.js"

onEachDatabase((database) =>
  OutboxSuite.run(database.name, () => database.client(), { losesAnswers: database.name !== "SQLite" })
)
