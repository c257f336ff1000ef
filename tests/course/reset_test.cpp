#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "temporary.hpp"
#include <algorithm>
#include <doctest/doctest.h>

using namespace course;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> kept_contents(const TemporaryFolder& folder) {
    std::vector<std::string> contents;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder.path() / "labs/01-anonymous-pipes"))
        if (entry.path().filename().string().rfind("posix.cpp.kept-", 0) == 0)
            contents.push_back(read_file(entry.path()).value());
    return contents;
}

}  // namespace

TEST_CASE("reset gives the starter back and keeps the work, however often") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    const fs::path file = folder.path() / "labs/01-anonymous-pipes/posix.cpp";
    for (int i = 0; i < 3; ++i) {
        write_file(file, "work " + std::to_string(i));
        CHECK(reset(repository, "01", "posix") == 0);
        CHECK(read_file(file) == "// posix.cpp\n");
    }
    const std::vector<std::string> kept = kept_contents(folder);
    CHECK(kept.size() == 3);
    for (int i = 0; i < 3; ++i)
        CHECK(std::count(kept.begin(), kept.end(), "work " + std::to_string(i)) == 1);
    CHECK(read_file(folder.path() / "labs/01-anonymous-pipes/win32.cpp") == "// win32.cpp\n");
}

TEST_CASE("an untouched starter is left alone, a deleted one comes back") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    CHECK(reset(repository, "01", "posix") == 0);
    CHECK(kept_contents(folder).empty());
    fs::remove(folder.path() / "labs/01-anonymous-pipes/posix.cpp");
    CHECK(reset(repository, "01", "posix") == 0);
    CHECK(read_file(folder.path() / "labs/01-anonymous-pipes/posix.cpp") == "// posix.cpp\n");
}

TEST_CASE("without the shipped starter the work stays as it is") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("labs/01-anonymous-pipes/posix.cpp", "work");
    fs::remove_all(folder.path() / "labs/01-anonymous-pipes/.starter");
    CHECK_THROWS_WITH_AS(reset(repository, "01", "posix"), doctest::Contains("was not touched"), Failure);
    CHECK(read_file(folder.path() / "labs/01-anonymous-pipes/posix.cpp") == "work");
}
