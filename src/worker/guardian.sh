# The guardian of one worker. It outlives the worker for a moment: when its standard input ends, however the worker died, it
# kills every process group that was still running a task, and removes the folder of the worker's socket.
#
# Each line says what the worker does; RUN is TASK#EPOCH, or RUNNER#0 for a runner of handlers:
#   + RUN        is about to start it
#   = RUN GROUP  has started it
#   - RUN        it is over
#
# A worker killed between `+` and `=` leaves a child that nobody has named yet; on Linux it is found by TQ_TASK_ID or
# TQ_RUNNER_ID, and TQ_WORKER_ID, in its environment. It is looked for again a second later: a child shows its environment only once it runs
# its program.
trap '' TERM INT HUP QUIT PIPE
worker=$1
folder=$2
starting=' '
running=' '
while read -r what run group; do
  case $what in
    +) starting="$starting$run " ;;
    =)
      starting="${starting%%" $run "*} ${starting#*" $run "}"
      running="$running$run=$group "
      ;;
    -)
      case $starting in *" $run "*) starting="${starting%%" $run "*} ${starting#*" $run "}" ;; esac
      case $running in *" $run="*)
        rest=${running#*" $run="}
        running="${running%%" $run="*} ${rest#* }"
        ;;
      esac
      ;;
  esac
done
for entry in $running; do
  kill -s KILL -- "-${entry##*=}" 2>/dev/null
done
[ -z "$folder" ] || rm -rf -- "$folder"
[ "$starting" != ' ' ] || exit 0

kill_nameless() {
  for file in /proc/[0-9]*/environ; do
    tr '\0' '\n' <"$file" 2>/dev/null | grep -qxF "TQ_WORKER_ID=$worker" || continue
    task=$(tr '\0' '\n' <"$file" 2>/dev/null | sed -n 's/^TQ_TASK_ID=//p;s/^TQ_RUNNER_ID=//p')
    case $starting in *" $task#"*)
      pid=${file#/proc/}
      kill -s KILL -- "-${pid%/environ}" 2>/dev/null
      ;;
    esac
  done
}
kill_nameless
sleep 1
kill_nameless
