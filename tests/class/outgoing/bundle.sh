#!/bin/bash
# bundle.sh COURSE students|gradescope: packs what goes out, and uses it: the students' archive as a student does, or
# Gradescope's zip in folders laid out as Gradescope lays them out, in a sandbox that allows what a default container allows.
# Exit codes: 0 all well; 1 not; 77 there is no root or no bubblewrap for the sandbox here.
set -u

course=$(readlink -f -- "$1")
part=$2
root=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../../..")
export COURSE_ROOT=$root
work=$(mktemp -d "${TMPDIR:-/tmp}/class-bundle-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
wrong=0
complain() {
    wrong=1
    printf 'WRONG: %s\n' "$*"
}

"$course" class bundle --out "$work/out" --lab 01 || { complain "nothing is packed: exit code $?"; exit 1; }
"$course" class bundle --out "$work/again" --lab 01 >/dev/null
for file in ipc-labs-students.tar.gz gradescope.zip Containerfile; do
    cmp "$work/out/$file" "$work/again/$file" || complain "the same course is packed differently: $file"
done
"$course" class bundle --out /proc/nowhere >"$work/said" 2>&1
[ $? -eq 4 ] || complain "into a folder that cannot be: $(cat "$work/said")"

if [ "$part" = gradescope ] && { [ "$(id -u)" -ne 0 ] || ! command -v bwrap >/dev/null; }; then
    echo 'unavailable: no root or no bubblewrap for the sandbox'
    exit 77
fi

# A student unpacks it and goes to work.
as_a_student() {
    tar -xzf "$work/out/ipc-labs-students.tar.gz" -C "$work"
    student="$work/ipc-labs"
    [ ! -e "$student/solutions" ] || complain 'the solutions are in it'
    for lab in "$student"/labs/[0-9]*/; do
        for track in posix win32; do cmp "$lab$track.cpp" "$lab.starter/$track.cpp" || complain "$lab$track.cpp is not the starter"; done
    done
    find "$root/solutions" "$root"/tests/*/alternatives "$root"/tests/*/cheats -type f -name '*.cpp' -exec md5sum {} + | cut -d' ' -f1 | sort >"$work/secret"
    find "$student" -type f -exec md5sum {} + | cut -d' ' -f1 | sort | comm -12 - "$work/secret" | grep . && complain 'a solution is in it under another name'
    # Long lines of solutions that are nowhere in what a lab gives. Judges make the same calls, and are left out.
    cat "$root"/solutions/*/*.cpp | sed 's/^ *//' | grep -E '.{60}' | sort -u >"$work/lines"
    cat "$root"/labs/*/*.?pp "$root"/labs/*/.starter/*.cpp "$root"/common/ipc/*.?pp | sed 's/^ *//' | sort -u | comm -13 - "$work/lines" >"$work/secret-lines"
    find "$student" -type f -not -path "$student/tests/*" -exec cat {} + | sed 's/^ *//' | sort -u | comm -12 - "$work/secret-lines" >"$work/leaks"
    echo "$(wc -l <"$work/secret-lines") long lines that only solutions have; $(wc -l <"$work/leaks") of them beside the judges"
    [ "$(wc -l <"$work/leaks")" -le 3 ] || { complain 'solutions are quoted:'; cat "$work/leaks"; }

    (cd "$student" && unset COURSE_ROOT && ./course grade 01 --json "$work/verdict.json" >"$work/said" 2>&1)
    code=$?
    [ $code -eq 1 ] && python3 - "$work/verdict.json" <<'PYTHON' || complain "the starter of lab 01 in it: exit code $code, $(tail -n 5 "$work/said")"
import json, sys
verdict = json.load(open(sys.argv[1]))
cases = [case for case in verdict["cases"] if case["outcome"] != "unavailable here"]
sys.exit(not (verdict["points"] == 0 and len(cases) > 5 and all(case["outcome"] == "not attempted" for case in cases)))
PYTHON
    (cd "$student" && unset COURSE_ROOT && ./course class bundle --out "$work/third" >"$work/said" 2>&1)
    [ $? -eq 2 ] && grep -q "it is a student's" "$work/said" || complain "packing a student's copy: $(cat "$work/said")"
    if command -v doxygen >/dev/null; then
        (cd "$student" && unset COURSE_ROOT && ./course docs >"$work/said" 2>&1) || complain "its site: $(tail -n 5 "$work/said")"
    fi
    echo "a student's copy judges its starter and shows its site, at $SECONDS s"

    # What the Containerfile asks for exists.
    packages=$(sed -n '/apt-get install/,/&& rm/p' "$work/out/Containerfile" | tr -d '\\' | tr ' ' '\n' | grep -E '^[a-z0-9.+-]+$' | grep -vE '^(apt-get|install|rm|update|-.*)$')
    for package in $packages; do
        apt-cache show "$package" >/dev/null 2>&1 || complain "Debian has no package $package"
    done
    echo "the Containerfile's packages: $(echo "$packages" | paste -sd' ')"
}

# As the default filter for containers does: no new namespaces, no mounts.
make_filter() {
    python3 - <<'PYTHON'
import struct, sys
ALLOW, EPERM, ENOSYS = 0x7fff0000, 0x00050001, 0x00050026
LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06
unshare, mount, clone, clone3 = 272, 165, 56, 435
program = [(LOAD, 0, 0, 0), (EQUAL, 6, 0, unshare), (EQUAL, 5, 0, mount), (EQUAL, 5, 0, clone3), (EQUAL, 0, 2, clone),
           (LOAD, 0, 0, 16), (ANY, 1, 0, 0x7e020000), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ENOSYS)]
sys.stdout.buffer.write(b"".join(struct.pack("HBBI", *step) for step in program))
PYTHON
}
in_container() { # COMMAND... : its output is Gradescope's results/stdout
    bwrap --unshare-pid --unshare-ipc --unshare-net --die-with-parent --new-session --clearenv --setenv PATH /usr/local/bin:/usr/bin:/bin --setenv HOME /root \
        ${CCACHE_DIR:+--setenv CCACHE_DIR "$CCACHE_DIR" --bind "$CCACHE_DIR" "$CCACHE_DIR"} ${CMAKE_CXX_COMPILER_LAUNCHER:+--setenv CMAKE_CXX_COMPILER_LAUNCHER "$CMAKE_CXX_COMPILER_LAUNCHER"} \
        --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin --symlink usr/sbin /sbin --ro-bind /etc /etc \
        --proc /proc --dev /dev --tmpfs /tmp --chmod 1777 /tmp --dir /root --bind "$work/autograder" /autograder --chdir /autograder \
        --cap-drop ALL --cap-add CAP_CHOWN --cap-add CAP_DAC_OVERRIDE --cap-add CAP_FOWNER --cap-add CAP_FSETID --cap-add CAP_KILL --cap-add CAP_SETGID \
        --cap-add CAP_SETUID --cap-add CAP_SETPCAP --cap-add CAP_NET_BIND_SERVICE --cap-add CAP_NET_RAW --cap-add CAP_SYS_CHROOT --cap-add CAP_MKNOD \
        --cap-add CAP_AUDIT_WRITE --cap-add CAP_SETFCAP --seccomp 7 -- "$@" 7<"$work/filter"
}

submit() { # POINTS WORDS [FILE...]
    local points=$1 words=$2 start=$SECONDS
    shift 2
    rm -rf "$work/autograder/submission" "$work/autograder/results"
    mkdir "$work/autograder/submission" "$work/autograder/results"
    [ $# -eq 0 ] || cp "$1" "$work/autograder/submission/posix.cpp"
    in_container /autograder/run_autograder >"$work/said" 2>&1 || { complain "run_autograder: exit code $?, $(tail -n 5 "$work/said")"; return; }
    python3 - "$work/autograder/results/results.json" "$points" "$words" <<'PYTHON' || complain "results.json for $words"
import json, sys
result = json.load(open(sys.argv[1]))
points = sum(test["score"] for test in result["tests"])
# What https://gradescope-autograders.readthedocs.io/en/latest/specs/ knows.
known = {"score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility", "stdout_visibility", "extra_data", "tests", "leaderboard"}
known_of_test = {"score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "tags", "visibility", "extra_data"}
strange = set(result) - known | {key for test in result["tests"] for key in set(test) - known_of_test}
text = json.dumps(result)
print(f"  {points} points, {result['extra_data']}")
sys.exit(bool(strange) or points != int(sys.argv[2]) or sys.argv[3] not in text or result["extra_data"]["isolation"] != "user" or "isolation: user" not in result["output"])
PYTHON
    echo "  in $((SECONDS - start)) s"
}

as_gradescope() {
    mkdir -p "$work/autograder/results" "$work/autograder/submission"
    (cd "$work/autograder" && cmake -E make_directory source && cd source && cmake -E tar xf "$work/out/gradescope.zip")
    [ -x "$work/autograder/source/setup.sh" ] && [ -x "$work/autograder/source/run_autograder" ] || complain 'the scripts in the zip are no programs'
    cp "$work/autograder/source/run_autograder" "$work/autograder/run_autograder"
    echo '{"users": [{"name": "Ada", "email": "ada@example.com"}]}' >"$work/autograder/submission_metadata.json"

    make_filter >"$work/filter"
    in_container unshare --user true 2>/dev/null && complain 'the sandbox allows namespaces, which a default container does not'
    in_container /autograder/source/setup.sh >"$work/said" 2>&1 || complain "setup.sh: exit code $?, $(tail -n 5 "$work/said")"
    echo "Gradescope's image is built at $SECONDS s"

    submit 100 '"passed"' "$root/solutions/01-anonymous-pipes/posix.cpp"
    submit 0 '"failed"' "$root/labs/01-anonymous-pipes/.starter/posix.cpp"
    echo 'int main( {' >"$work/broken.cpp"
    submit 0 'does not compile' "$work/broken.cpp"
    submit 0 'none of the files asked for'
    # The submission cannot see who else has handed in what, nor write its own result.
    [ "$(stat -c %a "$work/autograder/results")" = 700 ] && [ "$(stat -c %a "$work/autograder/submission_metadata.json")" = 600 ] || complain 'results and names are open to the submission'
    # Where it is the machine that fails, nobody gets points or none for it.
    rm -f "$work/autograder/results/results.json"
    rm "$work/autograder/source/assignment"
    in_container /autograder/run_autograder >"$work/said" 2>&1 && complain 'run_autograder takes a broken image for a good one'
    [ ! -e "$work/autograder/results/results.json" ] || complain 'a broken image leaves a result'
}

case $part in
students) as_a_student ;;
gradescope) as_gradescope ;;
*) complain "there is no part '$part'" ;;
esac
exit $wrong
