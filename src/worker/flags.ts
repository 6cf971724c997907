/** The options of `tq work`. */
export const workFlags = {
  queue: {
    type: "string",
    alias: "q",
    value: "Q[,Q...]",
    description: "queues in order of preference; Q:3 weighs, * is all",
  },
  concurrency: { type: "string", alias: "c", value: "N", description: "tasks at once (default: cores)" },
  exec: { type: "string", value: "CMD", description: "run this for a task of any name; needs -q" },
  "until-empty": { type: "boolean", description: "end when nothing is left; exit 1 if a task it ran failed" },
  "max-tasks": { type: "string", value: "N", description: "end after so many runs" },
  grace: { type: "string", value: "DUR", description: "given to running tasks at a stop, default 25s" },
  "allow-commands": {
    type: "boolean",
    description: "run command tasks although others can write to the store",
  },
  "require-signature": { type: "boolean", description: "run only what is signed with a key of the key file" },
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
