/**
 * Bun ends the process when it cannot start a thread, and its compiler and its collector start theirs whenever they like: on a
 * machine out of processes a worker would die, and its tasks would be charged with a crash. So a worker does without those
 * threads. The settings are read when a process begins (https://bun.sh/docs/runtime, BUN_JSC_*), hence it replaces itself.
 */
const settings = {
  BUN_JSC_useConcurrentJIT: "0",
  BUN_JSC_useConcurrentGC: "0",
  BUN_JSC_numberOfGCMarkers: "1",
} as const

/** Does not return where the process has to begin anew; that costs a few milliseconds. */
export function becomeSteady(): void {
  if (process.platform === "win32" || Object.keys(settings).some((name) => process.env[name])) return
  const script = process.argv[1]
  // A compiled executable has its script within itself.
  const isCompiled = script === undefined || script.startsWith("/$bunfs/")
  const own = isCompiled ? [] : [...process.execArgv, script]
  const argv = [process.argv0, ...own, ...process.argv.slice(2)]
  try {
    process.execve?.(process.execPath, argv, { ...process.env, ...settings } as Record<string, string>)
  } catch {
    // It works as it is, only less steadily.
  }
}
