#include "failure.hpp"
#include "mistake.hpp"
#include "temporary.hpp"
#include <doctest/doctest.h>

using namespace course;

namespace {

const std::string patch = "Mistake: write-end-kept\n"
                          "Title: The parent keeps the write end: and waits\n"
                          "Case: 1.2, 1.3\n"
                          "Says: still open in\n"
                          "Section: end-of-file\n"
                          "What: The student forks\n"
                          "  and goes on.\n"
                          "\n"
                          "--- a/posix.cpp\n"
                          "+++ b/posix.cpp\n"
                          "@@ -1 +1 @@\n"
                          "-Case: 9.9\n"
                          "+Sanitizer: thread\n";

}  // namespace

TEST_CASE("a mistake's header ends where the patch begins") {
    const Mistake mistake = parse_mistake("write-end-kept", patch);
    CHECK(mistake.title == "The parent keeps the write end: and waits");
    CHECK(mistake.cases == std::vector<std::string>{"1.2", "1.3"});
    CHECK(mistake.says == "still open in");
    CHECK(mistake.section == "end-of-file");
    CHECK(mistake.sanitizer.empty());
}

TEST_CASE("a header that lacks a key or has another name is refused") {
    CHECK_THROWS_WITH_AS(parse_mistake("other-name", patch), doctest::Contains("must agree"), Failure);
    for (const char* key : {"Mistake", "Title", "Case", "Says", "Section"}) {
        std::string without = patch;
        without.erase(without.find(std::string(key) + ": "),
                      without.find('\n', without.find(std::string(key) + ": ")) -
                          without.find(std::string(key) + ": "));
        CHECK_THROWS_WITH_AS(parse_mistake("write-end-kept", without), doctest::Contains(key), Failure);
    }
}

TEST_CASE("the catalogue gives titles and never reads outside its folder") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("tests/01-anonymous-pipes/mistakes/posix/write-end-kept.patch", patch);
    const Lab lab = repository.lab_named("01");
    CHECK(mistakes_of(repository, lab, Track::posix).size() == 1);
    CHECK(mistakes_of(repository, lab, Track::win32).empty());
    CHECK(mistake_title(repository, lab, Track::posix, "write-end-kept") ==
          "The parent keeps the write end: and waits");
    CHECK(mistake_title(repository, lab, Track::posix, "unknown").empty());
    CHECK(mistake_title(repository, lab, Track::win32, "../posix/write-end-kept").empty());
}
