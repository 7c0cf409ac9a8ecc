/**
 * The CPU time of other processes of this machine, from Linux's `/proc`.
 */
import { readdirSync, readFileSync } from "node:fs"

/** Linux counts it in hundredths of a second. */
const microsOfTick = 10_000

/** The CPU time in microseconds of all processes with a name, and of their children that have ended. */
export const cpuTimeOf = (name: string): number =>
  readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).reduce((sum, pid) => {
    let stat: string
    try {
      stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    } catch {
      // It has ended.
      return sum
    }
    const end = stat.lastIndexOf(")")
    if (stat.slice(stat.indexOf("(") + 1, end) !== name) {
      return sum
    }
    // utime, stime, cutime and cstime are the fields 14 to 17, and field 3 follows the name.
    const ticks = stat.slice(end + 2).split(" ").slice(11, 15)
    return sum + ticks.reduce((total, text) => total + Number(text), 0) * microsOfTick
  }, 0)
