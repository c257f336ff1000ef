#include "files.hpp"
#include "saves.hpp"
#include "temporary.hpp"
#include <doctest/doctest.h>

using namespace course;

// Each save is made before wait() is called: it has to be remembered, or the test does not end.
TEST_CASE("a save is noticed, written in place or renamed into place") {
    const TemporaryFolder folder;
    folder.put("posix.cpp", "one");
    Saves saves(folder.path() / "posix.cpp");
    folder.put("posix.cpp", "in place");
    saves.wait();
    write_file(folder.path() / "posix.cpp", "by another name first");
    saves.wait();
    folder.put("backup", "as vim does");
    std::filesystem::rename(folder.path() / "backup", folder.path() / "posix.cpp");
    saves.wait();
}
