#!/bin/sh
# check.sh COURSE quick|posix|win32: hands in attacks as a class would, beside a solution, a starter and broken archives, and
# checks that each gets what it deserves, that nothing is learnt from the machine, and that nothing is left behind. `posix` and
# `win32` have all of a track, `quick` some that are over at once.
# Exit codes: 0 all well; 1 not; 2 wrong usage; 77 there are no namespaces here, and attacks are run nowhere else.
set -u

course=${1:?usage: check.sh COURSE quick|posix|win32}
part=${2:-quick}
here=$(dirname -- "$(readlink -f -- "$0")")
root=$(readlink -f -- "$here/../..")
case $part in
quick)
    track=posix
    names='embeds_judge exits_in_constructor includes_solution kills_everybody leaves_names prints_environment stops_everybody terminal_escapes'
    ;;
posix | win32)
    track=$part
    names=$(cd "$here/attacks/$track" && ls)
    ;;
*)
    echo "usage: check.sh COURSE quick|posix|win32" >&2
    exit 2
    ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/class-check-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export COURSE_ROOT="$root" IPC_LABS_CHECK_SECRET=a-token-of-this-machine

hand_in() { # STUDENT FILE...
    folder="$work/in/$1/labs/01-anonymous-pipes"
    shift
    mkdir -p "$folder" && cat "$@" >"$folder/$track.cpp"
}
for name in $names; do
    name=${name%.cpp}
    hand_in "attack-$name" "$here/frame_$track.hpp" "$here/frame.hpp" "$here/attacks/$track/$name.cpp"
done
hand_in solution "$root/solutions/01-anonymous-pipes/$track.cpp"
hand_in starter "$root/labs/01-anonymous-pipes/.starter/$track.cpp"
mkdir "$work/in/nothing"
ln -s /etc/passwd "$work/in/link.zip"
printf 'no archive' >"$work/in/damaged.tar.gz"

"$course" class grade "$work/in" --out "$work/out" --lab 01 --track $track --require namespaces --format junit >"$work/said" 2>&1
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
[ $code -eq 0 ] || complain "the grader ended with exit code $code"
line_of() { grep "^$1," "$work/out/class.csv" | tr -d '\r'; }
judged=0
for name in $names; do
    name=attack-${name%.cpp}
    case $(line_of "$name") in
    *,0,*,graded,*) judged=$((judged + 1)) ;;
    *) complain "$name: $(line_of "$name")" ;;
    esac
done
case $(line_of solution) in
solution,100,100,graded,* | solution,9[0-9],9[0-9],graded,*) ;;
*) complain "the solution earns $(line_of solution)" ;;
esac
case $(line_of starter) in
starter,0,*,graded,*) ;;
*) complain "the starter earns $(line_of starter)" ;;
esac
for name in nothing link damaged; do
    case $(line_of $name) in
    "$name",0,*refused*) ;;
    *) complain "$name was not refused: $(line_of $name)" ;;
    esac
done
# The grader's own words, on a terminal or in a file, and every result.
reports="$work/said $(find "$work/out" -type f)"
if command -v xmllint >/dev/null; then
    for file in "$work"/out/junit/*.xml; do
        xmllint --noout "$file" || complain "$file is no XML"
    done
fi
# shellcheck disable=SC2086
{
    grep -l "$(printf '\033')" $reports && complain 'a report has terminal escapes in it'
    grep -l 'a-token-of-this-machine' $reports && complain "a report has the grader's environment in it"
    grep -lF "$work/" "$work"/out/students/* && complain 'a report tells where submissions lie'
    grep -l 'root:[^ ]*:[0-9]*:[0-9]*:[0-9]*:::' $reports && complain 'a report has /etc/shadow in it'
}
grep -l '<script>' "$work"/out/students/*.html "$work/out/class.html" && complain "a report has a student's markup in it"
for name in "$work"/out/students/*.json; do
    grep -q '"isolation": "namespaces"' "$name" || complain "$name does not tell of its isolation"
done

# Nothing is left: processes, names, folders, control groups, mounts, displays. What this grader's folders and groups are called
# is in course.json; another class may be graded on this machine meanwhile.
own=$(sed -n 's/.*"grader": "\(.*\)".*/\1/p' "$work/out/course.json")
[ -n "$own" ] || complain 'course.json does not tell what the grader is called'
left=$(grep -ls "$own" /proc/[0-9]*/cgroup)
[ -z "$left" ] || complain "processes are left: $left"
for name in /dev/shm/ipc-labs-left /dev/mqueue/ipc-labs-left /tmp/ipc-labs-left /tmp/flood /dev/shm/flood; do
    [ ! -e $name ] || complain "$name is left"
done
for folder in "${TMPDIR:-/tmp}" /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/pids; do
    left=$(find "$folder" -mindepth 1 -maxdepth 1 -name "$own*" 2>/dev/null)
    [ -z "$left" ] || complain "left in $folder: $left"
done
for folder in /dev/shm /dev/mqueue /tmp/.X11-unix; do
    left=$(find "$folder" -mindepth 1 -maxdepth 1 -uid +61099 -uid -61400 2>/dev/null)
    [ -z "$left" ] || complain "left in $folder: $left"
done
grep "$own" /proc/self/mounts && complain 'mounts are left'

# Again: nothing has changed, so nothing is graded that has a verdict.
"$course" class grade "$work/in" --out "$work/out" --lab 01 --track $track >"$work/again" 2>&1
grep -q "($(find "$work/in" -mindepth 1 -maxdepth 1 | wc -l) unchanged" "$work/again" || complain "a second run grades again: $(cat "$work/again")"

# A grader that is killed for good takes its sandboxes along, also one where somebody burns processor time. What it could not
# tidy up itself, the next grader does.
if [ $track = posix ]; then
    rm -rf "$work/in" "$work/out"
    hand_in burning "$here/frame_$track.hpp" "$here/frame.hpp" "$here/attacks/$track/burns.cpp"
    "$course" class grade "$work/in" --out "$work/out" --lab 01 --track $track >"$work/killed" 2>&1 &
    grader=$!
    burning() { grep -ls "$own" /proc/[0-9]*/cgroup | sed 's/cgroup$/comm/' | xargs -r cat 2>/dev/null | grep -x lab-01; }
    for look in $(seq 600); do
        [ -n "$(burning)" ] && break
        sleep 0.1
    done
    [ "$look" -lt 600 ] || complain "the burning program never ran: $(cat "$work/killed")"
    kill -9 $grader
    wait $grader 2>/dev/null
    for look in $(seq 50); do
        left=$(grep -ls "$own" /proc/[0-9]*/cgroup)
        [ -z "$left" ] && break
        sleep 0.1
    done
    [ -z "$left" ] || complain "processes outlive a grader that was killed: $left"
    rm -rf "$work/in"
    hand_in starter "$root/labs/01-anonymous-pipes/.starter/$track.cpp"
    "$course" class grade "$work/in" --out "$work/next" --lab 01 --track $track >"$work/said" 2>&1 || complain "the next grader: $(cat "$work/said")"
    left=$(find /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/pids -mindepth 1 -maxdepth 1 -name "$own*" 2>/dev/null)
    [ -z "$left" ] || complain "groups of a grader that was killed are left: $left"
    rm -rf "${TMPDIR:-/tmp}/$own"-*
fi

printf '%s attacks earn nothing, exit code of the grader %s\n' "$judged" "$code"
[ $wrong -eq 0 ] || tail -n 5 "$work/said"
exit $wrong
