#pragma once

/// @file
/// The verbs of `./course`. Each returns its exit code and throws Failure for what keeps it from its work.

#include "labs.hpp"
#include <string>
#include <vector>

namespace course {

struct GradeOptions {
    std::string lab;
    std::string track = "posix";
    std::vector<std::string> cases;
    bool solution = false;
    std::string json;  ///< where to write the verdict; "-": standard output instead of the text
    std::string seed;
};

struct TestOptions {
    std::vector<std::string> labs;    ///< empty: all
    std::vector<std::string> tracks;  ///< empty: both
    bool quick = false;               ///< 5 repeats, no sanitizers
    int repeats = 20;
};

struct BenchOptions {
    std::string lab = "01";
    std::vector<std::string> tracks;  ///< empty: both
    int edits = 10;
    std::string json;
};

int glance(const Repository& repository);
int grade(const Repository& repository, const GradeOptions& options);
int watch(const Repository& repository, const GradeOptions& options);
int hint(const Repository& repository, const std::string& lab, const std::string& case_name,
         const std::string& track, bool all);
int reset(const Repository& repository, const std::string& lab, const std::string& track);
int doctor(const Repository& repository, const std::string& track);
int test(const Repository& repository, const TestOptions& options);
int bench_loop(const Repository& repository, const BenchOptions& options);

}  // namespace course
