#pragma once
// What ctest prints, read: which test ended how, each time that it was run.

#include <map>
#include <string>
#include <vector>

namespace course {

struct TestLook {
    std::string result;   ///< ctest's word: "Passed", "***Failed", "***Timeout", "***Skipped", …
    std::string seconds;  ///< as printed
    std::string words;    ///< what was printed after it, with --output-on-failure the test's own output
};

struct TestLooks {
    std::map<std::string, std::vector<TestLook>> of;  ///< by the test's name; the last look is the one that counts
    std::string others;                               ///< lines that belong to no test
};

/// @param output  of ctest with --output-on-failure, perhaps with --repeat
TestLooks looks_in(const std::string& output);

}  // namespace course
