/** The task `tq:llm`, which every runner of ours has whose worker has a model set up. */
import { task } from "../sdk/task.ts"
import type { LlmRequest } from "./ask.ts"
import { llmTask } from "./settings.ts"

export const registerLlm = (): void => {
  task<LlmRequest>({ name: llmTask }, (request, ctx) => ctx.llm(request))
}
