/**
 * What a worker does with a claimed task of a flow before, or instead of, running it.
 *
 * - The run itself: brings its steps into being, waits for them, ends as they did.
 * - A step: gathers its parents' outputs, is skipped if its condition says so, and has its values filled in.
 * - A step with `map`: brings its items into being, waits for them, gathers their outputs.
 * - An approval: waits for the decision, without a slot.
 *
 * All of it can be done again from the start: a worker may die at any point. What is decided here is one settle, fenced by the
 * claim's lease.
 */
import type { Claim } from "../core/claim.ts"
import { TqError, unreachable } from "../core/errors.ts"
import { readNote, runStep, type StepNote, stepTaskId } from "../core/flow.ts"
import type { JsonText } from "../core/json.ts"
import { fromRecord, type Task } from "../core/task.ts"
import type { Outcome } from "../core/transition.ts"
import { conductApproval } from "./approve.ts"
import { openOf } from "./birth.ts"
import { holds, parseCondition } from "./condition.ts"
import { conductMap } from "./conduct-map.ts"
import { conductRun } from "./conduct-run.ts"
import { type Conducted, type Conducting, failure, type Prepared } from "./conducting.ts"
import { reasonOf, type Scene, sceneOf, standingIn } from "./scene.ts"
import { wentWrong } from "./state.ts"
import { fillArguments, fillJson } from "./values.ts"

/** Throws a `data` error for a record that makes no sense, and what the store throws. */
export async function conduct(claim: Claim, by: Conducting): Promise<Conducted> {
  const task = fromRecord(claim.record)
  if (!task.flow) return withMemos(claim, plainly(task), by)
  if (task.flow.step === runStep) return settled(await conductRun(claim, task, by))
  const note = readNote(task.step)
  const scene = await sceneOf(task, note, by)
  if (scene.runStatus === "cancelled") {
    return settled({ lease: claim.lease, to: "cancelled", reason: "its run was cancelled" })
  }
  try {
    return await withMemos(claim, await conductStep(claim, task, note, scene, by), by)
  } catch (error) {
    // A value that is not there, a condition that makes no sense: no retry would mend it.
    if (error instanceof TqError && error.code === "data") return settled(failure(claim, by, error.message))
    throw error
  }
}

/** A durable task that is no step. */
const plainly = (task: Task): Conducted => ({
  kind: "run",
  prepared: { task, variables: {}, input: task.payload, parents: new Map() },
})

async function withMemos({ lease }: Claim, conducted: Conducted, by: Conducting): Promise<Conducted> {
  if (conducted.kind !== "run" || !by.isDurable(conducted.prepared.task.name)) return conducted
  const memos = lease.epoch === 1 ? new Map<string, JsonText>() : await by.memos(lease.id)
  return { kind: "run", prepared: { ...conducted.prepared, memos } }
}

const settled = (outcome: Outcome): Conducted => ({ kind: "settled", outcome })

/** The step for failures: skipped when nothing failed, told what did otherwise. */
function conductFailureStep(claim: Claim, scene: Scene): Outcome | Scene {
  const { lease } = claim
  const { byStep, plan, scope } = scene
  const standingOf = standingIn(byStep)
  const { status, culprit } = wentWrong(plan, standingOf)
  if (status === "completed") {
    return { lease, to: "completed", result: { data: "null" }, skipped: "nothing failed" }
  }
  if (!culprit) {
    // A step that had ended runs again.
    const ids = [...byStep.keys()].map((id) => stepTaskId(scope.run, id))
    return { lease, to: "blocked", after: openOf(ids, [...byStep.values()]) }
  }
  const failed = JSON.stringify({ step: culprit.id, status, message: reasonOf(standingOf(culprit)) })
  return { ...scene, scope: { ...scope, failure: failed } }
}

async function conductStep(
  claim: Claim,
  task: Task,
  note: StepNote,
  before: Scene,
  by: Conducting,
): Promise<Conducted> {
  const scene = note.role === "failure" ? conductFailureStep(claim, before) : before
  if ("lease" in scene) return settled(scene)
  const { scope } = scene
  // The items of a mapped step are there because its condition held.
  if (note.if !== undefined && !note.item && !holds(parseCondition(note.if), scope)) {
    return settled({
      lease: claim.lease,
      to: "completed",
      result: { data: "null" },
      skipped: `not ${note.if}`,
    })
  }
  if (note.map !== undefined) return settled(await conductMap(claim, task, note, scene, note.map, by))
  const { work } = note
  switch (work.kind) {
    case "approve":
      return settled(await conductApproval(claim, work, by))
    case "task": {
      const payload =
        work.with === undefined ? (scope.item?.value ?? scope.input) : fillJson(work.with, scope)
      return { kind: "run", prepared: prepared({ ...task, payload }, scene) }
    }
    case "command": {
      // What was permitted is the record's own command, and nothing that the note says beside it.
      const { command } = task
      if (!command) throw new TqError("data", "its flow step is malformed")
      const argv = work.isScript ? command.argv : fillArguments(command.argv, scope)
      const stdin = Buffer.from(`{"input":${scope.input},"parents":${objectOf(scene.parents)}}\n`)
      return { kind: "run", prepared: prepared({ ...task, command: { ...command, argv, stdin } }, scene) }
    }
    default:
      return unreachable(work)
  }
}

function prepared(task: Task, { scope, parents }: Scene): Prepared {
  const { item, failure: trouble, input } = scope
  return {
    task,
    input,
    parents,
    variables: {
      // A handler's input is its payload.
      ...(task.command && { TQ_INPUT: input }),
      TQ_PARENTS: objectOf(parents),
      ...(item && { TQ_ITEM: item.value, TQ_INDEX: String(item.index) }),
      ...(trouble !== undefined && { TQ_FAILURE: trouble }),
    },
  }
}

const objectOf = (members: ReadonlyMap<string, JsonText>): JsonText =>
  `{${[...members].map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`
