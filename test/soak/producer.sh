# One producer, as a script would be: pushes for SECONDS, a push every PAUSE microseconds; one that took longer is followed at
# once. The ids go to stdout; `CODE MICROSECONDS` of each push, and what tq said, to the file.
#   bash producer.sh SECONDS PAUSE TQ FILE
# It measures itself: whoever started it competes with the workers for the processor too.
seconds=$1 pause=$2 tq=$3 file=$4
exec 9<> <(:)
next=${EPOCHREALTIME/./}
end=$((next + seconds * 1000000))
while now=${EPOCHREALTIME/./} && ((now < end)); do
  if ((next > now)); then
    printf -v rest '%d.%06d' $(((next - now) / 1000000)) $(((next - now) % 1000000))
    read -r -t "$rest" -u 9
  fi
  start=${EPOCHREALTIME/./}
  "$tq" push -- true 2>>"$file"
  code=$?
  stop=${EPOCHREALTIME/./}
  echo "$code $((stop - start))" >>"$file"
  next=$((next + pause))
  ((next >= stop)) || next=$stop
done
