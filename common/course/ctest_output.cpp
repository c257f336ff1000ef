#include "ctest_output.hpp"

#include <regex>
#include <sstream>

namespace course {

TestLooks looks_in(const std::string& output) {
    // A test that is run once more has no place in the row: "3/10 Test #13: a ...***Failed", then "Test #13: a ... Passed".
    static const std::regex ended(R"(^ *(?:\d+/\d+ +)?Test +#\d+: (\S+) \.+ *(\S.*?) +([0-9.]+) sec.*)"), started(R"(^ *Start +\d+: .*)"), summary(R"(^\d+% tests passed, .*)");
    TestLooks looks;
    std::istringstream lines(output);
    std::string* words = &looks.others;
    for (std::string line; std::getline(lines, line);) {
        std::smatch parts;
        if (std::regex_match(line, parts, ended)) {
            std::vector<TestLook>& its = looks.of[parts[1]];
            its.push_back({parts[2], parts[3], ""});
            words = &its.back().words;
        } else if (std::regex_match(line, started) || std::regex_match(line, summary)) {
            words = &looks.others;
        } else
            *words += line + "\n";
    }
    return looks;
}

}  // namespace course
