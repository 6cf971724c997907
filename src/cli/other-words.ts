/** What other tools call our commands: whoever types `tq cron rm` is told of `remove`. */

const meanings: Readonly<Record<string, readonly string[]>> = {
  abort: ["cancel"],
  apply: ["run", "add"],
  cat: ["show", "logs"],
  create: ["add", "push"],
  del: ["remove", "delete", "purge"],
  delete: ["remove", "purge"],
  disable: ["pause"],
  edit: ["add"],
  enable: ["resume"],
  enqueue: ["push"],
  get: ["show"],
  info: ["show"],
  inspect: ["show"],
  kill: ["cancel"],
  log: ["logs"],
  ls: ["list"],
  output: ["logs"],
  ps: ["list"],
  remove: ["delete", "purge"],
  requeue: ["retry"],
  rm: ["remove", "delete", "purge"],
  start: ["run", "resume", "work"],
  status: ["show"],
  stop: ["pause", "cancel"],
  submit: ["push"],
  unpause: ["resume"],
  worker: ["work"],
}

/** The first of `known` that `word` may mean. */
export const otherWord = (word: string, known: readonly string[]): string | undefined =>
  (Object.hasOwn(meanings, word) ? meanings[word]! : []).find((meaning) => known.includes(meaning))
