/** The verbs. Each is loaded only when it is called: `tq push` in a shell loop never loads the worker. */
import type { Command, CommandGroup } from "../src/cli/command.ts"

export type Loaded = { readonly default: Command | CommandGroup }

interface Verb {
  readonly description: string
  readonly load: () => Promise<Loaded>
  /** tq calls it itself; people do not. */
  readonly hidden?: true
  /** Over in a moment, and called in loops: nothing in it is worth compiling to machine code. */
  readonly brief?: true
}

const verb = (description: string, load: () => Promise<Loaded>): Verb => ({ description, load })

export const verbs: Readonly<Record<string, Verb>> = {
  push: { ...verb("push a task, or many", () => import("./push.ts")), brief: true },
  work: verb("run tasks", () => import("./work.ts")),
  show: verb("show one task", () => import("./show.ts")),
  list: verb("list tasks", () => import("./list.ts")),
  result: verb("print the result of a task", () => import("./result.ts")),
  wait: verb("wait for tasks to end", () => import("./wait.ts")),
  logs: verb("print what a task wrote", () => import("./logs.ts")),
  cancel: verb("cancel tasks", () => import("./cancel.ts")),
  retry: verb("run ended tasks anew", () => import("./retry.ts")),
  delete: verb("delete tasks", () => import("./delete.ts")),
  priority: verb("change priorities, or show the depth per level", () => import("./priority.ts")),
  dead: verb("the dead-letter: failed tasks", () => import("./dead/index.ts")),
  queues: verb("list queues", () => import("./queues.ts")),
  queue: verb("pause, resume or purge a queue", () => import("./queue/index.ts")),
  workers: verb("list or drain workers", () => import("./workers/index.ts")),
  flow: verb("run flows: steps that need each other", () => import("./flow/index.ts")),
  event: verb("send events that tasks wait for", () => import("./event/index.ts")),
  cron: verb("schedules: tasks pushed again and again", () => import("./cron/index.ts")),
  scheduler: verb("fire cron entries, and run nothing", () => import("./scheduler.ts")),
  progress: { ...verb("inside a task: tell how far it is", () => import("./progress.ts")), brief: true },
  later: { ...verb("inside a task: say when to run it again", () => import("./later.ts")), brief: true },
  bench: verb("measure the engine", () => import("./bench.ts")),
  "bench-pickup": {
    ...verb("the waiting worker of tq bench", () => import("./bench-pickup.ts")),
    hidden: true,
  },
  runner: {
    ...verb("runs handler files for tq work", () => import("./runner.ts")),
    hidden: true,
  },
  doctor: verb("look the store over", () => import("./doctor.ts")),
  export: verb("copy everything into a file", () => import("./export.ts")),
  import: verb("put an export in", () => import("./import.ts")),
  move: verb("move everything to another store", () => import("./move.ts")),
  gc: verb("forget what the retention no longer covers", () => import("./gc.ts")),
  init: verb("write a starter tq.toml, or systemd units", () => import("./init.ts")),
  config: verb("show every setting and where it comes from", () => import("./config.ts")),
  completion: verb("print a completion script", () => import("./completion.ts")),
  demo: verb("run real tasks on a queue of its own", () => import("./demo.ts")),
}
