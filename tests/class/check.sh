#!/bin/sh
# check.sh COURSE: grades every attack of attacks/ as a class would hand them in, beside a solution, a starter and broken
# archives, and checks that each gets what it deserves and that nothing is left behind.
# Exit codes: 0 all well; 1 not; 77 there are no namespaces here, and attacks are run nowhere else.
set -u

course=$1
here=$(dirname -- "$(readlink -f -- "$0")")
root=$(readlink -f -- "$here/../..")
work=$(mktemp -d "${TMPDIR:-/tmp}/class-check-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export COURSE_ROOT="$root"

hand_in() { # STUDENT FILE...
    folder="$work/in/$1/labs/01-anonymous-pipes"
    shift
    mkdir -p "$folder" && cat "$@" >"$folder/posix.cpp"
}
for attack in "$here"/attacks/*.cpp; do
    name=${attack##*/}
    hand_in "attack-${name%.cpp}" "$here/frame.hpp" "$attack"
done
hand_in solution "$root/solutions/01-anonymous-pipes/posix.cpp"
hand_in starter "$root/labs/01-anonymous-pipes/.starter/posix.cpp"
mkdir "$work/in/nothing"
ln -s /etc/passwd "$work/in/link.zip"
printf 'no archive' >"$work/in/damaged.tar.gz"

mounts=$(wc -l </proc/self/mounts)
"$course" class grade "$work/in" --out "$work/out" --lab 01 --require namespaces --format junit >"$work/said" 2>&1
code=$?
if [ $code -eq 4 ] && grep -q 'the strongest isolation here' "$work/said"; then
    cat "$work/said"
    exit 77
fi

wrong=0
complain() {
    wrong=1
    printf '%s\n' "$*"
}
points_of() { awk -F, -v who="$1" '$1 == who { print $2 "/" $3 }' "$work/out/class.csv"; }
judged=0
for attack in "$here"/attacks/*.cpp; do
    name=${attack##*/}
    name=attack-${name%.cpp}
    # Who has killed the judge has no verdict; an instructor looks at it, and there are no points in it.
    case $(points_of "$name") in
    0/*) judged=$((judged + 1)) ;;
    *) complain "$name earns $(points_of "$name")" ;;
    esac
done
[ "$(points_of solution)" = 100/100 ] || complain "the solution earns $(points_of solution)"
[ "$(points_of starter)" = 0/100 ] || complain "the starter earns $(points_of starter)"
for name in nothing link damaged; do
    grep -q "^$name,0,.*refused" "$work/out/class.csv" || complain "$name was not refused: $(grep "^$name" "$work/out/class.csv")"
done
if command -v xmllint >/dev/null; then
    for file in "$work"/out/junit/*.xml; do
        xmllint --noout "$file" || complain "$file is no XML"
    done
fi
grep -ql 'owned' "$work"/out/students/*.html && grep -l "$(printf '\033')" "$work"/out/students/*.html && complain 'a report has terminal escapes in it'
grep -l '<script>' "$work"/out/students/*.html "$work"/out/class.html && complain "a report has a student's markup in it"
for name in "$work"/out/students/*.json; do
    grep -q '"isolation": "namespaces"' "$name" || complain "$name does not tell of its isolation"
done

# Nothing is left: processes of the sandboxes' users, names, mounts.
left=$(ps -eo uid=,pid=,comm= | awk '$1 >= 61100 && $1 < 61400')
[ -z "$left" ] || complain "processes are left: $left"
for name in /dev/shm/ipc-labs-left /dev/mqueue/ipc-labs-left /tmp/ipc-labs-left /tmp/flood /dev/shm/flood; do
    [ ! -e $name ] || complain "$name is left"
done
[ "$(wc -l </proc/self/mounts)" = "$mounts" ] || complain 'mounts are left'

# Again: nothing has changed, so nothing is graded that has a verdict.
"$course" class grade "$work/in" --out "$work/out" --lab 01 >"$work/again" 2>&1
grep -q 'unchanged' "$work/again" || complain "a second run grades all again: $(cat "$work/again")"

printf '%s attacks, exit code of the grader %s\n' "$judged" "$code"
[ $wrong -eq 0 ] || tail -n 5 "$work/said"
exit $wrong
