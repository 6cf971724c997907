import { command } from "../src/cli/command.ts"
import { schedulerFlags, startScheduler } from "../src/cron/scheduler.ts"

export default command({
  name: "scheduler",
  description:
    "Fire cron entries and bring back the tasks of dead workers; run nothing. Any number of schedulers and workers share the work: each tick is fired once.",
  usage: [
    "tq scheduler",
    "tq scheduler --file CRONTAB    only the jobs of this file, which stays where it is",
  ],
  examples: ["tq scheduler", "tq scheduler --file /etc/crontab --user-queue 'user-%u'", "tq init --systemd"],
  flags: schedulerFlags,
  operands: { min: 0, max: 0 },
  run: startScheduler,
})
