#!/usr/bin/env bash
# A runner for tq in bash: four tasks at once. For one command a task, a handler is simpler; this is how little a runner needs.
#
#     tq work --runner 'bash worker.sh'
#     tq push checksum '"README.md"' --wait
#
# tq writes `type` and `run` first, and `payload` last: no JSON parser is needed to take a line apart. The payloads here are plain
# texts; for anything else there is jq.
set -u

# Lines of up to 4,096 bytes from several processes do not mix.
send() { printf '%s\n' "$1" >&4; }

text() { printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$/"/'; }

checksum() {
  if sum=$(cksum -- "$1" 2>&1); then
    send "{\"type\":\"result\",\"run\":\"$run\",\"result\":$(text "${sum%% *}")}"
  else
    send "{\"type\":\"error\",\"run\":\"$run\",\"message\":$(text "$sum"),\"retry\":false}"
  fi
}

nap() {
  # A cancel comes as a TERM, see below.
  trap 'kill $!; send "{\"type\":\"result\",\"run\":\"$run\",\"result\":\"woken\"}"; exit' TERM
  sleep "$1" 3>&- 4>&- &
  wait $!
  send "{\"type\":\"result\",\"run\":\"$run\",\"result\":\"rested\"}"
}

declare -A pids

send '{"type":"hello","protocol":1,"tasks":["checksum","nap"],"maxInFlight":4}'
while IFS= read -r line <&3; do
  run=${line#*'"run":"'} run=${run%%'"'*}
  case $line in
    '{"type":"task",'*)
      name=${line#*'"name":"'} name=${name%%'"'*}
      payload=${line##*',"payload":'} payload=${payload%'}'}
      payload=${payload#'"'} payload=${payload%'"'}
      "$name" "$payload" &
      pids[$run]=$!
      ;;
    '{"type":"cancel",'*) [ -n "${pids[$run]-}" ] && kill -TERM "${pids[$run]}" 2>/dev/null ;;
    '{"type":"ping",'*) send "{\"type\":\"pong\",\"n\":$(n=${line##*:}; echo "${n%'}'}")}" ;;
    '{"type":"bye"}') break ;;
  esac
done
wait
