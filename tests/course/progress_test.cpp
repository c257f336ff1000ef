#include "files.hpp"
#include "progress.hpp"
#include "temporary.hpp"
#include <doctest/doctest.h>

using namespace course;
namespace fs = std::filesystem;

TEST_CASE("a grade is remembered, and the best one too") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    const Lab lab = repository.lab_named("01");
    Progress progress(repository);
    CHECK_FALSE(progress.grade(lab, Track::posix));
    progress.record(lab, Track::posix, {80, 100, 0, "2026-01-01T00:00:00Z", "fnv1a64:1", "1.2"});
    progress.record(lab, Track::posix, {35, 100, 0, "2026-01-02T00:00:00Z", "fnv1a64:2", "1.1"});
    const Grade grade = Progress(repository).grade(lab, Track::posix).value();
    CHECK(grade.points == 35);
    CHECK(grade.best == 80);
    CHECK(grade.next_case == "1.1");
    CHECK_FALSE(progress.grade(lab, Track::win32));
    CHECK(progress.last()->lab == "01-anonymous-pipes");
}

TEST_CASE("hints are counted by lab, track and case") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    Progress progress(repository);
    progress.record_hint(repository.lab_named("01"), Track::posix, "1.2", 2);
    CHECK(progress.hints_shown(repository.lab_named("01"), Track::posix, "1.2") == 2);
    CHECK(progress.hints_shown(repository.lab_named("01"), Track::win32, "1.2") == 0);
    CHECK(progress.hints_shown(repository.lab_named("00"), Track::posix, "1.2") == 0);
}

TEST_CASE("keys of a later version survive") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put(
        ".course/progress.json",
        R"({"future": {"deep": [1, 2]}, "labs": {"01-anonymous-pipes": {"posix": {"note": "mine"}}}})");
    Progress(repository).record(repository.lab_named("01"), Track::posix, {1, 100, 0, "", "", ""});
    const std::string text = read_file(folder.path() / ".course/progress.json").value();
    CHECK(text.find("\"future\"") != std::string::npos);
    CHECK(text.find("\"deep\"") != std::string::npos);
    CHECK(text.find("\"mine\"") != std::string::npos);
    CHECK(text.find("\"points\": 1") != std::string::npos);
}

TEST_CASE("a damaged file is kept aside and does not stop the work") {
    for (const char* damage : {"", "{\"labs\": ", "[1, 2]", "\xff\xfe", "null"}) {
        CAPTURE(damage);
        const TemporaryFolder folder;
        const Repository repository = folder.repository();
        folder.put(".course/progress.json", damage);
        const Lab lab = repository.lab_named("01");
        CHECK_FALSE(Progress(repository).grade(lab, Track::posix));
        Progress(repository).record(lab, Track::posix, {1, 100, 0, "", "", ""});
        CHECK(Progress(repository).grade(lab, Track::posix)->points == 1);
        bool kept = false;
        for (const fs::directory_entry& entry : fs::directory_iterator(folder.path() / ".course"))
            kept = kept || (entry.path().filename().string().rfind("progress.json.damaged-", 0) == 0 &&
                            read_file(entry.path()) == damage);
        CHECK(kept);
    }
}

TEST_CASE("whatever is in the way of the file is kept aside, and the work goes on") {
    const auto kept = [](const fs::path& folder, const std::string& start) {
        for (const fs::directory_entry& entry : fs::directory_iterator(folder))
            if (entry.path().filename().string().starts_with(start))
                return true;
        return false;
    };
    for (const char* in_the_way : {".course", ".course/progress.json/mine", ".course/lock/mine"}) {
        CAPTURE(in_the_way);
        const TemporaryFolder folder;
        const Repository repository = folder.repository();
        folder.put(in_the_way, "mine");
        const Lab lab = repository.lab_named("01");
        CHECK(Progress(repository).hints_shown(lab, Track::posix, "1.2") == 0);
        Progress(repository).record_hint(lab, Track::posix, "1.2", 2);
        CHECK(Progress(repository).hints_shown(lab, Track::posix, "1.2") == 2);
        CHECK((kept(folder.path(), ".course.damaged-") || kept(folder.path() / ".course", fs::path(in_the_way).parent_path().filename().string() + ".damaged-")));
    }
}

TEST_CASE("numbers that cannot be are no danger") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put(".course/progress.json", R"({"hints": {"01-anonymous-pipes": {"posix": {"1.1": -5, "1.2": 1e300}}}})");
    const Lab lab = repository.lab_named("01");
    CHECK(Progress(repository).hints_shown(lab, Track::posix, "1.1") == 0);
    CHECK(Progress(repository).hints_shown(lab, Track::posix, "1.2") == 1'000'000);
}

TEST_CASE("values of an unexpected type count as absent") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put(
        ".course/progress.json",
        R"({"labs": {"01-anonymous-pipes": {"posix": {"points": "many", "when": 7}}, "00-processes": 3}, "hints": [], "last": "x"})");
    Progress progress(repository);
    CHECK(progress.grade(repository.lab_named("01"), Track::posix)->points == 0);
    CHECK_FALSE(progress.grade(repository.lab_named("00"), Track::posix));
    CHECK_FALSE(progress.last());
    CHECK(progress.hints_shown(repository.lab_named("01"), Track::posix, "1.2") == 0);
    progress.record_hint(repository.lab_named("01"), Track::posix, "1.2", 1);
    CHECK(progress.hints_shown(repository.lab_named("01"), Track::posix, "1.2") == 1);
}
