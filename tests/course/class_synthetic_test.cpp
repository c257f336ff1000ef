#include "class_synthetic.hpp"
#include "class_sandbox.hpp"
#include "failure.hpp"
#include <algorithm>
#include <doctest/doctest.h>

using namespace course;
using nlohmann::json;

namespace {

Deserved file(const std::string& what, Deserved::Points points) {
    Deserved deserved;
    deserved.lab = "01-anonymous-pipes";
    deserved.track = "posix";
    deserved.what = what;
    deserved.status = "judged";
    deserved.points = points;
    return deserved;
}

SyntheticStudent student(const Deserved& deserved) { return {"ada", "", {deserved}}; }

ClassResult result(int points, const std::string& outcome, const std::string& mistake = "") {
    return {{"student", "ada"}, {"problems", json::array()}, {"graded_at", "2026-11-21T10:00:00Z"}, {"seconds", 1.5},
            {"labs", {{{"lab", "01-anonymous-pipes"}, {"track", "posix"}, {"status", "judged"}, {"points", points}, {"max_points", 100}, {"seconds", 1.25},
                       {"verdict", {{"cases", {{{"name", "1.2"}, {"outcome", outcome}, {"mistake", mistake}, {"message", "got: nothing within 1003 ms from pid 71 in /tmp/ipc-labs-Ab3dE9/work"}, {"waiting", ""}}}}}}}}}};
}

}  // namespace

TEST_CASE("a synthetic class knows what a solution, a starter and a mistake deserve") {
    CHECK(wrong_with(result(100, "passed"), student(file("solution", Deserved::Points::all))).empty());
    CHECK(!wrong_with(result(99, "passed"), student(file("solution", Deserved::Points::all))).empty());
    Deserved starter = file("starter", Deserved::Points::none);
    starter.not_attempted = true;
    CHECK(wrong_with(result(0, "not attempted"), student(starter)).empty());
    CHECK(!wrong_with(result(0, "failed"), student(starter)).empty());
    Deserved mistake = file("mistake write-end-kept", Deserved::Points::some_missing);
    mistake.cases = {"1.2"};
    mistake.mistake = "write-end-kept";
    CHECK(wrong_with(result(92, "failed", "read-once, write-end-kept"), student(mistake)).empty());
    CHECK(!wrong_with(result(92, "failed", "read-once"), student(mistake)).empty());
    CHECK(!wrong_with(result(92, "passed"), student(mistake)).empty());
    CHECK(!wrong_with(result(100, "failed", "write-end-kept"), student(mistake)).empty());
}

TEST_CASE("what is refused has to be refused for that reason, and nothing else") {
    ClassResult refused = result(0, "passed");
    refused["labs"] = json::array();
    refused["problems"] = {"it is a link"};
    CHECK(wrong_with(refused, {"ada", "a link", {}}).empty());
    CHECK(!wrong_with(refused, {"ada", "UTF-16", {}}).empty());
    CHECK(!wrong_with(refused, student(file("solution", Deserved::Points::all))).empty());
}

TEST_CASE("a file that was not handed in is expected nowhere") {
    const ClassResult judged = result(0, "passed");
    CHECK(!wrong_with(judged, {"ada", "", {}}).empty());
}

TEST_CASE("times, process numbers and temporary names do not last; points, outcomes and words do") {
    ClassResult one = result(92, "failed"), other = result(92, "failed");
    other["graded_at"] = "2026-11-21T11:11:11Z";
    other["labs"][0]["seconds"] = 7;
    other["labs"][0]["verdict"]["cases"][0]["message"] = "got: nothing within 1017 ms from pid 4121 in /tmp/ipc-labs-zzzzzz/work";
    CHECK(lasting_part(one) == lasting_part(other));
    other["labs"][0]["points"] = 91;
    CHECK(lasting_part(one) != lasting_part(other));
    other = one;
    other["labs"][0]["verdict"]["cases"][0]["message"] = "got: something";
    CHECK(lasting_part(one) != lasting_part(other));
}

TEST_CASE("no two sandboxes on this machine have the same user") {
    const SandboxUser first, second;
    CHECK(first.id() != second.id());
    CHECK(first.id() >= first_sandbox_user);
    CHECK(second.id() < first_sandbox_user + sandbox_users);
}

TEST_CASE("a sandbox has limits on everything, and no way around another user") {
    Box box;
    box.user = first_sandbox_user + 3;
    const std::vector<std::string> words = boxed(box, {"/usr/bin/true"}).arguments;
    for (const char* limit : {"--nproc=400", "--nofile=4096", "--fsize=268435456", "--core=0", "--cpu=60"})
        CHECK_MESSAGE(std::find(words.begin(), words.end(), limit) != words.end(), limit);
    CHECK(words.back() == "/usr/bin/true");
    CHECK(std::find(words.begin(), words.end(), "bwrap") != words.end());
    box.level = Isolation::none;
    const std::vector<std::string> plain = boxed(box, {"/usr/bin/true"}).arguments;
    CHECK(std::find(plain.begin(), plain.end(), "bwrap") == plain.end());
    CHECK(std::find(plain.begin(), plain.end(), "--pdeathsig") != plain.end());
    CHECK_THROWS_AS(isolation_named("strong"), Failure);
}
