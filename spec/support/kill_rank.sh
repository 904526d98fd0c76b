#!/bin/sh
# kill_rank.sh FILE SECONDS COMMAND...: runs a command that starts mpirun as its child, and kills one of the ranks some
# time after they were there, and the file too ("" for none). Prints "hangs" where a rank lives for ten seconds more,
# and the command's exit status, with "yes" where one was killed.
file=$1 wait=$2
shift 2
"$@" &
job=$! mpirun= killed=
# What has ended, and is not looked at yet, is none.
ranks() { [ -n "$mpirun" ] && ps -o stat=,pid= --ppid "$mpirun" | sed -n '/^Z/!s/.* //p'; }
runs() { kill -0 $job 2>/dev/null; }

while runs; do
  mpirun=$(pgrep -P $job)
  [ -n "$(ranks)" ] && { [ -z "$file" ] || [ -e "$file" ]; } && break
  sleep 0.02
done
sleep "$wait"
rank=$(ranks | shuf -n 1)
[ -n "$rank" ] && kill -9 "$rank" && killed=yes
for _ in $(seq 100); do
  [ -n "$(ranks)" ] || break
  sleep 0.1
done
[ -z "$(ranks)" ] || echo hangs
# That mpirun itself hangs in the end, all of them gone, is its own affair.
for _ in $(seq 50); do
  runs || break
  sleep 0.1
done
kill -9 "$mpirun" 2>/dev/null
wait $job
echo "status $? $killed"
