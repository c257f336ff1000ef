#include "failure.hpp"
#include "labs.hpp"
#include "temporary.hpp"
#include <doctest/doctest.h>

using namespace course;

TEST_CASE("a lab is found by number, by name, and by folder") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    for (const char* text :
         {"01", "1", "001", "01-anonymous-pipes", "anonymous-pipes", "labs/01-anonymous-pipes/"})
        CHECK(repository.lab_named(text).name == "01-anonymous-pipes");
    CHECK(repository.lab_named("0").name == "00-processes");
}

TEST_CASE("an unknown lab is wrong usage and the sentence lists those there are") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    for (const char* text : {"7", "01-pipes", "", "/", "-1", "99999999999999999999", "..", "1x"}) {
        CAPTURE(text);
        try {
            repository.lab_named(text);
            FAIL("found");
        } catch (const Failure& error) {
            CHECK(error.code() == exit_code::usage);
            CHECK(std::string(error.what()).find("00-processes, 01-anonymous-pipes") != std::string::npos);
        }
    }
}

TEST_CASE("a folder without a program is no lab yet") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("labs/02-named-pipes/README.md", "");
    folder.put("labs/notes/main.cpp", "");
    CHECK(repository.labs().size() == 2);
}

TEST_CASE("once the build has a list of labs, a folder that is not on it is no lab") {
    const TemporaryFolder folder;
    const Repository repository = folder.repository();
    folder.put("build/linux/labs.json", R"({ "labs": ["01-anonymous-pipes"] })");
    REQUIRE(repository.labs().size() == 1);
    CHECK(repository.labs()[0].number == "01");
}

TEST_CASE("tracks are posix and win32") {
    CHECK(track_named("posix") == Track::posix);
    CHECK(track_named("win32") == Track::win32);
    CHECK_THROWS_AS(track_named("Posix"), Failure);
}
