#include "files.hpp"
#include "temporary.hpp"
#include "update.hpp"
#include <algorithm>
#include <doctest/doctest.h>

using namespace course;

namespace {

void put(const std::filesystem::path& file, const std::string& content) {
    std::filesystem::create_directories(file.parent_path());
    write_file(file, content);
}

// A course of one lab.
void lay_out(const std::filesystem::path& root, const std::string& starter, const std::string& handout, const std::string& judge) {
    for (const char* track : {"posix.cpp", "win32.cpp"}) {
        put(root / "labs/01-pipes" / track, starter);
        put(root / "labs/01-pipes/.starter" / track, starter);
    }
    put(root / "labs/01-pipes/README.md", handout);
    put(root / "tests/01-pipes/judge.cpp", judge);
}

bool has(const std::vector<std::string>& all, const std::string& one) { return std::find(all.begin(), all.end(), one) != all.end(); }

}  // namespace

TEST_CASE("an update never touches what the student has written") {
    const TemporaryFolder folder;
    const auto root = folder.path() / "mine", fresh = folder.path() / "fresh", base = folder.path() / "base";
    lay_out(root, "starter 1", "handout 1", "judge 1");
    lay_out(base, "starter 1", "handout 1", "judge 1");
    lay_out(fresh, "starter 2", "handout 2", "judge 2");
    put(root / "labs/01-pipes/posix.cpp", "my work");
    put(root / "labs/01-pipes/notes.txt", "my notes");
    put(root / "tests/01-pipes/judge.cpp", "a judge that likes me");
    put(root / "tests/01-pipes/old.cpp", "old");
    put(base / "tests/01-pipes/old.cpp", "old");
    put(fresh / "build/x", "no part of the course");
    put(fresh / "solutions/01-pipes/posix.cpp", "what a class does not get");

    const UpdateReport report = update_from(root, fresh, base);

    CHECK(read_file(root / "labs/01-pipes/posix.cpp") == "my work");
    CHECK(read_file(root / "labs/01-pipes/notes.txt") == "my notes");
    CHECK(has(report.newer_starters, "labs/01-pipes/posix.cpp"));
    CHECK(read_file(root / "labs/01-pipes/win32.cpp") == "starter 2");  // was untouched
    CHECK(read_file(root / "labs/01-pipes/.starter/posix.cpp") == "starter 2");
    CHECK(read_file(root / "labs/01-pipes/README.md") == "handout 2");
    CHECK(read_file(root / "tests/01-pipes/judge.cpp") == "judge 2");
    CHECK(report.kept == std::vector<std::string>{"tests/01-pipes/judge.cpp"});
    CHECK(report.removed == std::vector<std::string>{"tests/01-pipes/old.cpp"});
    CHECK(!read_file(root / "tests/01-pipes/old.cpp"));
    CHECK(!read_file(root / "build/x"));
    CHECK(!read_file(root / "solutions/01-pipes/posix.cpp"));
    bool kept = false;
    for (const auto& entry : std::filesystem::directory_iterator(root / "tests/01-pipes"))
        kept = kept || read_file(entry.path()) == "a judge that likes me";
    CHECK(kept);
}

TEST_CASE("an update to the same version does nothing") {
    const TemporaryFolder folder;
    lay_out(folder.path() / "mine", "starter", "handout", "judge");
    lay_out(folder.path() / "fresh", "starter", "handout", "judge");
    put(folder.path() / "mine/labs/01-pipes/posix.cpp", "my work");
    const UpdateReport report = update_from(folder.path() / "mine", folder.path() / "fresh", {});
    CHECK(report.updated.empty());
    CHECK(report.removed.empty());
    CHECK(report.newer_starters.empty());
    CHECK(read_file(folder.path() / "mine/labs/01-pipes/posix.cpp") == "my work");
}

TEST_CASE("what an update has brought is not taken for an edit by the next one") {
    const TemporaryFolder folder;
    const auto root = folder.path() / "mine", base = folder.path() / "base", second = folder.path() / "second", third = folder.path() / "third";
    lay_out(root, "starter", "handout 1", "judge 1");
    lay_out(base, "starter", "handout 1", "judge 1");
    lay_out(second, "starter", "handout 2", "judge 2");
    lay_out(third, "starter", "handout 3", "judge 3");
    CHECK(update_from(root, second, base).kept.empty());
    put(root / "tests/01-pipes/judge.cpp", "a judge that likes me");
    const UpdateReport report = update_from(root, third, base);  // git's base is still the first: an update commits nothing
    CHECK(report.kept == std::vector<std::string>{"tests/01-pipes/judge.cpp"});
    CHECK(read_file(root / "labs/01-pipes/README.md") == "handout 3");
}

TEST_CASE("where nobody knows what was shipped, what is replaced is kept") {
    const TemporaryFolder folder;
    const auto root = folder.path() / "mine", fresh = folder.path() / "fresh";
    lay_out(root, "starter", "handout with my notes", "judge");
    lay_out(fresh, "starter", "handout 2", "judge");
    const UpdateReport report = update_from(root, fresh, {});
    CHECK(report.replaced == std::vector<std::string>{"labs/01-pipes/README.md"});
    CHECK(read_file(root / report.replaced_in / "labs/01-pipes/README.md") == "handout with my notes");
    CHECK(update_from(root, fresh, {}).updated.empty());
}
