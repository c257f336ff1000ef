#include "failure.hpp"
#include "files.hpp"
#include "temporary.hpp"
#include <csignal>
#include <cstring>
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace course;
namespace fs = std::filesystem;

namespace {

std::size_t entries(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("a file is written whole, keeps its permissions, and leaves nothing beside it") {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "a.json";
    write_file(file, "one");
    ::chmod(file.c_str(), 0640);
    write_file(file, std::string(100'000, 'x'));
    CHECK(read_file(file) == std::string(100'000, 'x'));
    struct stat status {};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0640);
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a write that fails half-way leaves the old file and no other") {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "a.json";
    write_file(file, "old");
    // A limit on the file size stands in for the full disk: write(2) succeeds in part and then fails.
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{4096, 4096};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
            write_file(file, std::string(100'000, 'x'));
        } catch (const Failure& error) {
            ::_exit(error.code() == exit_code::machine && std::strstr(error.what(), "a.json") ? 0 : 2);
        }
        ::_exit(1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(read_file(file) == "old");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a full disk is said to be full") {
    CHECK_THROWS_WITH_AS(write_file("/dev/full", "x"), doctest::Contains("The disk is full"), Failure);
}

TEST_CASE("a folder that is not there is named") {
    const TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(write_file(folder.path() / "no/where.json", "x"), doctest::Contains("where.json"),
                         Failure);
    CHECK_FALSE(read_file(folder.path() / "no/where.json"));
}

TEST_CASE("what is kept aside never replaces what was kept before") {
    const TemporaryFolder folder;
    folder.put("posix.cpp", "work");
    const fs::path file = folder.path() / "posix.cpp";
    const fs::path first = keep_aside(file, "kept"), second = keep_aside(file, "kept"),
                   third = keep_aside(file, "kept");
    CHECK(first != second);
    CHECK(second != third);
    for (const fs::path& kept : {first, second, third})
        CHECK(read_file(kept) == "work");
    // The copies must not change with the file that is written anew.
    write_file(file, "starter");
    CHECK(read_file(first) == "work");
}

TEST_CASE("hashes tell contents apart") {
    CHECK(content_hash("") == "fnv1a64:cbf29ce484222325");
    CHECK(content_hash("a") == "fnv1a64:af63dc4c8601ec8c");
}
