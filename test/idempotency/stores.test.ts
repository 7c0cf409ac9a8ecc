import * as IdempotencyStoreSuite from "effect-airlock/testing/IdempotencyStoreSuite"
import { onEachStore } from "../support/idempotencyStores.js"

onEachStore((store, name) => IdempotencyStoreSuite.run(name, store))
