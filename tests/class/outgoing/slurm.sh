#!/bin/bash
# slurm.sh COURSE [SUBMISSIONS]: a Slurm of its own on this machine, a controller and three nodes. A class (of 12, or of as
# many as are said) is graded by it, is interrupted, goes on, and loses a node on the way; it has to come out as the local
# engine grades it.
# Exit codes: 0 it does; 1 it does not; 77 there is no Slurm here (Debian: slurm-wlm munge), or no root to run it.
set -u

course=$(readlink -f -- "$1")
submissions=${2:-12}
root=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../../..")
export COURSE_ROOT=$root
unset SLURM_CONF
for tool in munged slurmctld slurmd sbatch; do
    command -v $tool >/dev/null || { echo "unavailable: $tool is not installed (Debian: slurm-wlm munge)"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo 'unavailable: only root can run nodes of a Slurm that start jobs'; exit 77; }

work=$(mktemp -d /tmp/class-slurm-XXXXXX) || exit 1
export SLURM_CONF=$work/slurm.conf
# What a killed node leaves in its temporary folder goes with ours; the sandboxes' users have to get there.
chmod 711 "$work" && mkdir -m 1777 "$work/tmp" && export TMPDIR=$work/tmp
started=()
wrong=0
complain() {
    wrong=1
    printf 'WRONG: %s\n' "$*"
}

# Everything that our Slurm has started carries the name of our configuration.
ours() { # [WORD] : the processes with it in their environment, too
    env -u SLURM_CONF grep -lzxF -- "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null | while read -r environment; do
        [ $# -eq 0 ] || grep -qzxF -- "$1" "$environment" 2>/dev/null || continue
        environment=${environment%/environ}
        echo "${environment#/proc/}"
    done
}
parent_of() { awk '{ print $4 }' "/proc/$1/stat" 2>/dev/null; }

clean_up() {
    kill -9 "${started[@]}" 2>/dev/null
    wait 2>/dev/null
    pids=$(ours)
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill -9 $pids 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

until_true() { # SECONDS COMMAND... : Slurm tells nobody when it is ready, so it is asked
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

start_slurm() {
    local host port=$((20000 + RANDOM % 20000))
    host=$(hostname -s)
    mkdir "$work/state" "$work/spool"
    dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none && chmod 600 "$work/munge.key"
    cat >"$SLURM_CONF" <<CONF
ClusterName=check
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthInfo=socket=$work/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
ReturnToService=2
SlurmdTimeout=3
MinJobAge=86400
SlurmdParameters=config_overrides
MpiDefault=none
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1 State=UNKNOWN
NodeName=n3 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=1 State=UNKNOWN
PartitionName=teaching Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP
CONF
    munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" \
        --log-file="$work/munged.log" --seed-file="$work/munged.seed" >"$work/munged.out" 2>&1 &
    started+=($!)
    disown  # or the shell tells of its end
    until_true 10 test -S "$work/munge.socket" || return 1
    slurmctld -D >"$work/slurmctld.out" 2>&1 &
    started+=($!)
    disown
    for node in n1 n2 n3; do
        slurmd -D -N $node >"$work/slurmd-$node.out" 2>&1 &
        started+=($!)
        eval "pid_of_$node=$!"
        disown
    done
    until_true 30 all_idle
}
# shellcheck disable=SC2317
all_idle() { [ "$(sinfo -h -o '%t %D' 2>/dev/null)" = 'idle 3' ]; }

hand_in() { # STUDENT FILE
    mkdir -p "$work/in/$1/labs/01-anonymous-pipes" && cp "$2" "$work/in/$1/labs/01-anonymous-pipes/posix.cpp"
}
# One of each kind after the other, until the class is full.
make_class() {
    local solution="$root/solutions/01-anonymous-pipes/posix.cpp" tests="$root/tests/01-anonymous-pipes" samples="$work/samples" kinds i
    mkdir "$samples" "$work/in"
    cp "$solution" "$samples/solution"
    cp "$root/labs/01-anonymous-pipes/.starter/posix.cpp" "$samples/starter"
    for alternative in "$tests"/alternatives/posix/*.cpp; do cp "$alternative" "$samples/alternative-$(basename "$alternative" .cpp)"; done
    # Such as show themselves in the same cases every time.
    for mistake in death-by-signal-lost exec-failure-lost exit-code-lost; do
        patch --quiet --fuzz=0 -o "$samples/mistake-$mistake" "$solution" "$tests/mistakes/posix/$mistake.patch" || return 1
    done
    echo 'int main( {' >"$samples/broken"
    kinds=("$samples"/* nothing)
    for ((i = 0; i < submissions; ++i)); do
        local kind=${kinds[i % ${#kinds[@]}]}
        if [ "$kind" = nothing ]; then mkdir "$work/in/nothing-$i"; else hand_in "${kind##*/}-$i" "$kind"; fi
    done
}

grade() { "$course" class grade "$work/in" --lab 01 --seed 4711 "$@"; }
results() { find "$work/out/students" -name '*.json' 2>/dev/null | wc -l; }
# shellcheck disable=SC2317
has_results() { [ "$(results)" -ge "$1" ]; }
# shellcheck disable=SC2317
node_works() { [ -n "$(ours SLURMD_NODENAME="$1")" ]; }

# All that can differ between two runs are times, and process ids in explanations.
essence() { # RESULTS
    python3 - "$1" <<'PYTHON'
import json, pathlib, sys
for file in sorted(pathlib.Path(sys.argv[1], "students").glob("*.json")):
    result = json.loads(file.read_text())
    print(result["key"], result["input"], result["isolation"], result["problems"])
    for lab in result["labs"]:
        print(" ", lab["lab"], lab["track"], lab["status"], lab["points"], lab.get("seed"))
        for case in lab.get("verdict", {}).get("cases", []):
            print("   ", case["name"], case["outcome"], case["points"], case.get("mistake"))
PYTHON
}

# Whoever has no Slurm is told so.
PATH=/nonexistent "$course" class grade / --out "$work/none" --engine slurm >"$work/said" 2>&1
[ $? -eq 4 ] && grep -q 'sbatch is not installed' "$work/said" || complain "without sbatch: $(cat "$work/said")"

make_class || { complain 'a patch does not fit its solution'; exit 1; }
start_slurm || { tail -n 5 "$work"/*.out; complain 'Slurm does not start'; exit 1; }
echo "Slurm runs with three nodes after $SECONDS s; $(ls "$work/in" | wc -l) submissions"

grade --out "$work/local" >"$work/said" 2>&1 || complain "the local engine: exit code $?, $(tail -n 2 "$work/said") $(grep -h '"why"' "$work"/local/students/*.json)"
echo "the local engine is done at $SECONDS s"

grade --out "$work/out" --engine slurm --slurm-option=--partition=nowhere >"$work/said" 2>&1
[ $? -eq 4 ] && grep -q 'sbatch did not take the job.*partition' "$work/said" || complain "with a wrong partition: $(cat "$work/said")"

# Interrupted half-way (a shell makes what it starts in the background deaf to Ctrl-C): the job goes, what is graded stays.
slurm_options=(--lab 01 --seed 4711 --out "$work/out" --engine slurm --pack 2)
"$course" class grade "$work/in" "${slurm_options[@]}" >"$work/said" 2>&1 &
grader=$!
until_true 60 has_results 2 || complain "no results from Slurm: $(cat "$work/said")"
kill -TERM $grader
wait $grader
[ $? -eq 130 ] || complain "after SIGTERM: $(cat "$work/said")"
until_true 20 eval '[ -z "$(squeue -h)" ]' || complain 'after SIGTERM the job goes on'
echo "interrupted with $(results) results at $SECONDS s"
[ "$(results)" -lt "$(ls "$work/in" | wc -l)" ] || complain 'it was interrupted too late to tell'

# A node dies with all that runs on it, and its task runs elsewhere.
"$course" class grade "$work/in" "${slurm_options[@]}" --slurm-option=--time=10 --slurm-option=--partition=teaching >"$work/said" 2>&1 &
grader=$!
until_true $((60 + 6 * submissions)) has_results $((submissions / 4)) || complain "no results from Slurm: $(cat "$work/said")"
until_true 60 node_works n2 || complain "node n2 got nothing to do: $(cat "$work/said")"
tasks=$(ours SLURMD_NODENAME=n2)
steps=$(for task in $tasks; do parent_of "$task"; done | sort -un)
# shellcheck disable=SC2154,SC2086
kill -9 "$pid_of_n2" $(for step in $steps; do grep -qs slurmstepd "/proc/$step/cmdline" && echo "$step"; done) $tasks 2>/dev/null
echo "node n2 killed at work, with $(results) results at $SECONDS s"
wait $grader
code=$?
[ $code -eq 0 ] || complain "with a dead node: exit code $code, $(cat "$work/said")"
echo "graded at $SECONDS s; nodes: $(sinfo -h -o '%t %D' | paste -sd' '); $(scontrol show job 2>/dev/null | grep -c 'Restarts=[1-9]') tasks ran again"
scontrol show job 2>/dev/null | grep -q 'Restarts=[1-9]' || complain 'no task was started again, so nothing was lost and nothing proved'
grep -q 'unchanged since' "$work/said" && complain "it takes its own results for old ones: $(cat "$work/said")"

cmp "$work/local/class.csv" "$work/out/class.csv" || complain 'class.csv differs'
diff <(essence "$work/local") <(essence "$work/out") || complain 'the verdicts differ'
[ "$(ls "$work/local/students")" = "$(ls "$work/out/students")" ] || complain 'the files differ'
grade --out "$work/out" --engine slurm >"$work/said" 2>&1 || complain "again, with nothing to do: $(cat "$work/said")"

kill -9 "${started[@]}" 2>/dev/null
grade --out "$work/out" --engine slurm >"$work/said" 2>&1
[ $? -eq 4 ] && grep -q 'Slurm does not answer' "$work/said" || complain "without a controller: $(cat "$work/said")"
# slurmctld's own helper notices its end.
# shellcheck disable=SC2317
none_left() { [ -z "$(ours)" ]; }
until_true 10 none_left || complain "processes are left: $(ps -o pid=,args= -p "$(ours | paste -sd,)")"
exit $wrong
