/** The options of `tq work`. */
export const workFlags = {
  queue: {
    type: "string",
    alias: "q",
    value: "Q[,Q...]",
    description: "queues in order of preference; Q:3 weighs, * is all",
  },
  concurrency: { type: "string", alias: "c", value: "N", description: "tasks at once (default: cores)" },
  processes: {
    type: "string",
    value: "N",
    description: "runner processes for handler files, and for each --runner (default 1)",
  },
  runner: {
    type: "string",
    multiple: true,
    value: "CMD",
    description: "a program that speaks the runner protocol and runs tasks",
  },
  exec: { type: "string", value: "CMD", description: "run this for a task of any name; needs -q" },
  "until-empty": { type: "boolean", description: "end when nothing is left; exit 1 if a task it ran failed" },
  "max-tasks": {
    type: "string",
    value: "N",
    description: "replace a runner after so many tasks; without runners, end after so many",
  },
  "max-rss": { type: "string", value: "SIZE", description: "replace a runner that uses more memory: 512MiB" },
  watch: { type: "boolean", description: "load handlers anew when their files change" },
  grace: { type: "string", value: "DUR", description: "given to running tasks at a stop, default 25s" },
  "allow-commands": {
    type: "boolean",
    description: "run command tasks although others can write to the store",
  },
  "require-signature": { type: "boolean", description: "run only what is signed with a key of the key file" },
  "no-scheduler": { type: "boolean", description: "leave cron entries to other workers and tq scheduler" },
  name: { type: "string", value: "NAME", description: "what it is called (default: the host's name)" },
  "pass-env": {
    type: "string",
    multiple: true,
    value: "GLOB",
    description: "hand on these variables to tasks",
  },
  "env-file": {
    type: "string",
    multiple: true,
    value: "FILE",
    description: "NAME=VALUE lines for the tasks' environment",
  },
  "log-dir": { type: "string", value: "DIR", description: "write everything tasks print to files there" },
  "log-format": { type: "string", value: "json", description: "one JSON object a line on stderr" },
  "health-file": {
    type: "string",
    value: "FILE",
    description: "rewritten at every beat with the worker's health",
  },
} as const
