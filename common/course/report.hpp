#pragma once

/// @file
/// What `test` has found: a line for each check as it ends, a table and a count at the end.

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace course {

/// One lab on one track in the closing table; "-" where there was nothing to check.
struct SummaryRow {
    std::string lab, track, solution = "-", asan = "-", tsan = "-", starter = "-", mistakes = "-",
                            alternatives = "-", cheats = "-", repeats = "-";
};

/// Takes results from several threads at once.
class Report {
public:
    /// @param where  "01-anonymous-pipes posix"
    void passed(std::string_view where, std::string_view check);
    /// @param words  what was seen instead, several lines if need be
    void failed(std::string_view where, std::string_view check, std::string_view words);
    /// Said, and counted as nothing.
    void skipped(std::string_view where, std::string_view check, std::string_view reason);
    /// passed() or failed().
    bool result(bool ok, std::string_view where, std::string_view check, std::string_view words);
    void note(std::string_view text);
    void add(SummaryRow row) { rows_.push_back(std::move(row)); }

    int passed_count() const { return passed_; }
    int failed_count() const { return failed_; }
    /// The table, what failed, and the last line `N passed, N failed`.
    void print_summary(double seconds) const;

private:
    void line(std::string_view color, std::string_view word, std::string_view where, std::string_view check);

    std::mutex mutex_;
    int passed_ = 0, failed_ = 0;
    std::vector<std::string> failures_, skipped_;
    std::vector<SummaryRow> rows_;
};

}  // namespace course
