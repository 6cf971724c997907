# The first process of a container, where tq work was to be it: it hands signals on to the worker, and takes in the processes
# whose parents have gone, which nobody else would, and which would stay as zombies until no more processes can be started.
#   init.sh TQ ARGUMENT...
worker=
early=
hand_on() {
  if [ -n "$worker" ]; then kill -s "$1" "$worker"; else early=$1; fi
}
for signal in TERM INT HUP USR1; do
  # shellcheck disable=SC2064 # the name of this signal, not of the last
  trap "hand_on $signal" "$signal"
done
"$@" &
worker=$!
[ -z "$early" ] || hand_on "$early"
while :; do
  # Interrupted by a signal, it has not ended yet: a zombie can still be signalled.
  wait "$worker"
  code=$?
  kill -0 "$worker" 2>/dev/null || exit "$code"
done
