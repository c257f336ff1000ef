#!/bin/bash
# similarity.sh COURSE: a class with two who copied, one from each of two others, names and comments changed and functions
# moved; Dolos has to put these two pairs on top. DOLOS=FOLDER says where `npm install @dodona/dolos-lib` was run.
# Exit codes: 0 it does; 1 it does not; 77 Dolos is not installed.
set -u

course=$(readlink -f -- "$1")
root=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../../..")
export COURSE_ROOT=$root
work=$(mktemp -d "${TMPDIR:-/tmp}/class-similarity-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
wrong=0
complain() {
    wrong=1
    printf 'WRONG: %s\n' "$*"
}
hand_in() { mkdir -p "$work/in/$1/01" && cat >"$work/in/$1/01/posix.cpp"; }
# What somebody does who copies and does not want it seen.
disguised() {
    sed -E -e 's,//.*$,,' -e 's/\bcount\b/amount/g; s/\bfile\b/handle_of_mine/g; s/\bchild\b/kid/g; s/\bresult\b/answer/g; s/\btext\b/words/g; s/\bdata\b/bytes/g' -e 's/^    /\t/' "$1"
}

tests="$root/tests/01-anonymous-pipes"
hand_in 'Ada Lovelace' <"$tests/alternatives/posix/fork_exec_threads.cpp"
disguised "$tests/alternatives/posix/fork_exec_threads.cpp" | hand_in 'Bob, junior'
hand_in carol <"$tests/alternatives/posix/vfork_pump_process.cpp"
disguised "$tests/alternatives/posix/vfork_pump_process.cpp" | hand_in dave
hand_in erin <"$root/solutions/01-anonymous-pipes/posix.cpp"
hand_in frank <"$root/labs/01-anonymous-pipes/.starter/posix.cpp"
hand_in grace <"$root/labs/01-anonymous-pipes/.starter/posix.cpp"
for cheat in "$tests"/cheats/posix/*.cpp; do hand_in "$(basename "$cheat" .cpp)" <"$cheat"; done
mkdir -p "$work/in/heidi/01" && ln -s /etc/passwd "$work/in/heidi/01/posix.cpp"

compare() { "$course" class similarity "$work/in" --lab 01 "$@" >"$work/said" 2>&1; }

# Without Dolos: the input is there, the words say what to do.
compare --out "$work/none" --dolos "$work"
[ $? -eq 4 ] && grep -q 'npm install' "$work/said" || complain "without Dolos: $(cat "$work/said")"
grep -q 'not compared: heidi: .*link' "$work/said" || complain "a link was taken in: $(cat "$work/said")"
[ "$(find "$work/none/input" -name '*.cpp' | wc -l)" -eq "$(grep -c '\.cpp' "$work/none/input/info.csv")" ] || complain 'info.csv and the files differ'
grep -q '"Bob, junior",false' "$work/none/input/info.csv" || complain 'a name is lost'
mkdir -p "$work/mine/input" && echo precious >"$work/mine/input/notes"
compare --out "$work/mine" --dolos "$work"
[ $? -eq 2 ] && [ -e "$work/mine/input/notes" ] || complain "somebody's folder: $(cat "$work/said")"
mkdir -p "$work/alone/ada/01" && echo >"$work/alone/ada/01/posix.cpp"
"$course" class similarity "$work/alone" --lab 01 --out "$work/two" >"$work/said" 2>&1
[ $? -eq 2 ] && grep -q 'two at least' "$work/said" || complain "one submission: $(cat "$work/said")"

compare --out "$work/out" ${DOLOS:+--dolos "$DOLOS"}
code=$?
if [ $code -eq 4 ] && grep -q 'Dolos is not installed' "$work/said"; then
    cat "$work/said"
    [ $wrong -eq 0 ] && exit 77
    exit 1
fi
cat "$work/said"
[ $code -eq 0 ] || complain "exit code $code"
python3 - "$work/out/similarity.csv" <<'PYTHON' || complain "the copies are not on top: $(head -n 4 "$work/out/similarity.csv")"
import csv, sys
rows = list(csv.reader(open(sys.argv[1], newline="")))[1:]
pairs = [(float(row[0]), frozenset((row[2], row[4]))) for row in rows]
copies = {frozenset(("Ada Lovelace", "Bob, junior")), frozenset(("carol", "dave"))}
honest = [similarity for similarity, pair in pairs if pair not in copies]
print(f"copies: {[similarity for similarity, pair in pairs if pair in copies]}; next: {honest[:1]}")
# The starter is nobody's own work: two who left it as it was have nothing in common.
starters = frozenset(("frank", "grace"))
sys.exit({pair for _, pair in pairs[:2]} != copies or starters in [pair for _, pair in pairs])
PYTHON
exit $wrong
