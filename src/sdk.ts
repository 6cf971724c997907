/**
 * What `import … from "tq"` gives: to a handler file that `tq work` loads, where the executable provides the module, and to a
 * Bun program that imports the package.
 */
export { type ErrorCode, TqError } from "./core/errors.ts"
export type { LlmAnswer, LlmRequest } from "./llm/ask.ts"
export {
  type Client,
  connect,
  type Handle,
  type NewTask,
  type PushOptions,
  type Span,
  type TaskInfo,
  type WaitOptions,
} from "./sdk/client.ts"
export type { Context } from "./sdk/context.ts"
export { NoRetry, RetryLater, TaskFailed } from "./sdk/errors.ts"
export type { StandardSchema } from "./sdk/schema.ts"
export { type ErrorTest, type Handler, type Task, type TaskOptions, task } from "./sdk/task.ts"
export { type Tested, type TestOptions, testTask } from "./sdk/testing.ts"
export {
  type Approval,
  type ApproveOptions,
  type MapOptions,
  type RunOptions,
  type Step,
  type StepOptions,
  type Workflow,
  type WorkflowOptions,
  workflow,
} from "./sdk/workflow.ts"
