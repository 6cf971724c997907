/**
 * What `import … from "tq"` gives: to a handler file that `tq work` loads, where the executable provides the module, and to a
 * Bun program that imports the package.
 */
export { type Client, connect, type Handle, type PushOptions, type TaskInfo } from "./sdk/client.ts"
export type { Context } from "./sdk/context.ts"
export { NoRetry, RetryLater, TaskFailed } from "./sdk/errors.ts"
export type { StandardSchema } from "./sdk/schema.ts"
export { type Task, type TaskOptions, task } from "./sdk/task.ts"
export { type Tested, testTask } from "./sdk/testing.ts"
