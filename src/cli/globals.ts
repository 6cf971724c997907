/** The options that every command takes. */
export const globalFlags = {
  url: {
    type: "string",
    value: "URL",
    description: "the engine: sqlite:PATH, redis://HOST, amqp://HOST (TQ_URL)",
  },
  store: { type: "string", value: "URL", description: "beside RabbitMQ: where states are kept (TQ_STORE)" },
  namespace: {
    type: "string",
    value: "NAME",
    description: "keeps its tasks apart from others', default tq (TQ_NAMESPACE)",
  },
  config: {
    type: "string",
    value: "FILE",
    description: "read this file instead of the tq.toml that is found",
  },
  "password-file": { type: "string", value: "FILE", description: "the engine's password (TQ_PASSWORD_FILE)" },
  "key-file": {
    type: "string",
    value: "FILE",
    description: "signs what is pushed, verifies what is run (TQ_KEY_FILE)",
  },
  "connect-timeout": {
    type: "string",
    value: "DUR",
    description: "give up on the engine after this long, default 10s",
  },
  json: { type: "boolean", description: "one JSON object, or one a line" },
  quiet: { type: "boolean", description: "no talk on stderr" },
  "no-color": { type: "boolean", description: "no colour" },
  help: { type: "boolean", alias: "h", description: "this help" },
} as const
