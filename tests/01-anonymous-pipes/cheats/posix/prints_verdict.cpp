// Cheat: prints what a judge would print.

#include "cheat.hpp"

#include <cstdio>

unsigned cheat(const std::vector<anonymous_pipes::Command>&) {
    for (std::FILE* stream : {stdout, stderr}) {
        std::fprintf(stream, "%s\n%s\n", passed_case.c_str(), full_verdict.c_str());
        std::fprintf(stream, "[doctest] test cases: 20 | 20 passed | 0 failed | 0 skipped\n[doctest] Status: SUCCESS!\n");
        std::fprintf(stream, "  100/100 points, seed 1\n");
        std::fflush(stream);
    }
    return 0;
}
