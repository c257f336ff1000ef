#include "build.hpp"
#include <doctest/doctest.h>

using namespace course;

namespace {

const std::string compile_error = R"(ninja: Entering directory `build/linux'
FAILED: CMakeFiles/lab-01.dir/labs/01-anonymous-pipes/posix.cpp.o
/usr/bin/c++ -Wall -o CMakeFiles/lab-01.dir/labs/01-anonymous-pipes/posix.cpp.o -c /home/me/course/labs/01-anonymous-pipes/posix.cpp
/home/me/course/labs/01-anonymous-pipes/posix.cpp: In function ‘void f()’:
/home/me/course/labs/01-anonymous-pipes/posix.cpp:7:5: error: ‘undefined_thing’ was not declared in this scope
    7 |     undefined_thing();
      |     ^~~~~~~~~~~~~~~
/home/me/course/labs/01-anonymous-pipes/posix.cpp:8:1: warning: something else
/home/me/course/labs/01-anonymous-pipes/posix.cpp:9:1: error: second
/home/me/course/labs/01-anonymous-pipes/posix.cpp:10:1: error: third
/home/me/course/labs/01-anonymous-pipes/posix.cpp:11:1: error: fourth
ninja: build stopped: subcommand failed.
)";

const std::string cache = "CMAKE_HOME_DIRECTORY:INTERNAL=/home/me/course\n"
                          "CMAKE_CACHE_MAJOR_VERSION:INTERNAL=3\nCMAKE_CACHE_MINOR_VERSION:INTERNAL="
                          "25\nCMAKE_CACHE_PATCH_VERSION:INTERNAL=1\n"
                          "CMAKE_GENERATOR:INTERNAL=Ninja\nCMAKE_CXX_COMPILER:FILEPATH=/bin/"
                          "sh\nCMAKE_CXX_COMPILER_AR:FILEPATH=/no/such\n";

std::string with(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("the first errors are quoted with the file as the student knows it") {
    const std::string errors = first_errors(compile_error, "/home/me/course", 3);
    CHECK(errors.rfind("labs/01-anonymous-pipes/posix.cpp:7:5: error: ‘undefined_thing’", 0) == 0);
    CHECK(errors.find("    7 |     undefined_thing();") != std::string::npos);
    CHECK(errors.find("third") != std::string::npos);
    CHECK(errors.find("fourth") == std::string::npos);
    CHECK(errors.find("and 1 more error\n") != std::string::npos);
    CHECK(errors.find("warning") == std::string::npos);
    CHECK(errors.find("/home/me") == std::string::npos);
}

TEST_CASE("a function that was renamed is the linker's error, in types that people write") {
    const std::string said =
        "FAILED: bin/lab-01 \n: && /usr/bin/c++ …\n"
        "/usr/bin/ld: CMakeFiles/lab-01-main.dir/labs/01-anonymous-pipes/main.cpp.o: in function `run':\n"
        "/home/me/course/labs/01-anonymous-pipes/main.cpp:81: undefined reference to "
        "`feed(std::vector<std::__cxx11::basic_string<char, "
        "std::char_traits<char>, std::allocator<char> >, std::allocator<std::__cxx11::basic_string<char, "
        "std::char_traits<char>, "
        "std::allocator<char> > > > const&)'\ncollect2: error: ld returned 1 exit status\n";
    CHECK(first_errors(said, "/home/me/course") == "labs/01-anonymous-pipes/main.cpp:81: undefined reference "
                                                   "to `feed(std::vector<std::string> const&)'\n");
    CHECK(failed_targets(said) == std::vector<std::string>{"lab-01"});
}

TEST_CASE("an output without a known error is quoted from its end") {
    CHECK(first_errors("something\nodd happened\n", "/home/me/course").find("odd happened") !=
          std::string::npos);
}

TEST_CASE("whose fault it is can be told from ninja's lines") {
    CHECK(failed_targets(compile_error) == std::vector<std::string>{"lab-01"});
    CHECK(failed_targets("FAILED: bin/judge-01.exe \nFAILED: "
                         "tests/harness/CMakeFiles/judge_harness.dir/main.cpp.obj \n") ==
          std::vector<std::string>{"judge-01", "judge_harness"});
    CHECK(failed_targets("all fine\n").empty());
}

TEST_CASE("a build folder is recognised as of no use, with the reason") {
    CHECK_FALSE(build_folder_problem(cache, "/home/me/course", "3.25.1"));
    CHECK_FALSE(build_folder_problem(cache, "/home/me/course", ""));
    CHECK(build_folder_problem(cache, "/home/you/course", "3.25.1").value().find("/home/me/course") !=
          std::string::npos);
    CHECK(build_folder_problem(cache, "/home/me/course", "3.28.0").value() ==
          "was made by CMake 3.25.1, and this is CMake 3.28.0");
    CHECK(build_folder_problem(with(cache, "=Ninja", "=Unix Makefiles"), "/home/me/course", "")
              .value()
              .find("Unix Makefiles") != std::string::npos);
    CHECK(build_folder_problem(with(cache, "=/bin/sh", "=/no/such/g++"), "/home/me/course", "")
              .value()
              .find("/no/such/g++") != std::string::npos);
    CHECK(build_folder_problem("garbage", "/home/me/course", ""));
}
