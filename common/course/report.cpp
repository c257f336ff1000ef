#include "report.hpp"

#include "terminal.hpp"
#include <algorithm>
#include <array>
#include <cstdio>
#include <fmt/format.h>
#include <sstream>
#include <unistd.h>

namespace course {
namespace {

constexpr std::array<std::string SummaryRow::*, 10> fields = {
    &SummaryRow::lab,    &SummaryRow::track,   &SummaryRow::solution, &SummaryRow::asan,
    &SummaryRow::tsan,   &SummaryRow::starter, &SummaryRow::mistakes, &SummaryRow::alternatives,
    &SummaryRow::cheats, &SummaryRow::repeats};

}  // namespace

void Report::line(std::string_view color, std::string_view word, std::string_view where,
                  std::string_view check) {
    const Style style = style_for(STDOUT_FILENO);
    fmt::print("{}{}{} {}  {}\n", style.bold.empty() ? "" : color, padded(word, 7), style.off,
               padded(where, 26), visible(check));
    std::fflush(stdout);
}

void Report::passed(std::string_view where, std::string_view check) {
    const std::lock_guard lock(mutex_);
    ++passed_;
    line("\x1b[32m", "ok", where, check);
}

void Report::failed(std::string_view where, std::string_view check, std::string_view words) {
    const std::lock_guard lock(mutex_);
    ++failed_;
    failures_.push_back(fmt::format("{}  {}", where, check));
    line("\x1b[31m", "FAILED", where, check);
    std::istringstream lines{std::string(words)};
    for (std::string each; std::getline(lines, each);)
        fmt::print("          {}\n", visible(each));
    std::fflush(stdout);
}

void Report::skipped(std::string_view where, std::string_view check, std::string_view reason) {
    const std::lock_guard lock(mutex_);
    skipped_.push_back(fmt::format("{}  {}: {}", where, check, reason));
    line("\x1b[33m", "not run", where, fmt::format("{}: {}", check, reason));
}

bool Report::result(bool ok, std::string_view where, std::string_view check, std::string_view words) {
    if (ok)
        passed(where, check);
    else
        failed(where, check, words);
    return ok;
}

void Report::note(std::string_view text) {
    const std::lock_guard lock(mutex_);
    fmt::print("{}\n", text);
    std::fflush(stdout);
}

void Report::print_summary(double seconds) const {
    std::vector<SummaryRow> table = {{"lab", "track", "solution", "asan+ubsan", "tsan", "starter", "mistakes",
                                      "alternatives", "cheats at 0", "repeats"}};
    table.insert(table.end(), rows_.begin(), rows_.end());
    fmt::print("\n");
    if (is_narrow()) {
        for (const SummaryRow& row : rows_) {
            fmt::print("{} {}\n", row.lab, row.track);
            for (std::size_t i = 2; i < fields.size(); ++i)
                if (row.*fields[i] != "-")
                    fmt::print("  {}: {}\n", table[0].*fields[i], row.*fields[i]);
        }
        table.clear();
    }
    for (const SummaryRow& row : table) {
        std::string text;
        for (const auto field : fields) {
            std::size_t width = 0;
            for (const SummaryRow& each : table)
                width = std::max(width, columns(each.*field));
            text += padded(row.*field, width + 2);
        }
        fmt::print("{}\n", text.substr(0, text.find_last_not_of(' ') + 1));
    }
    if (!skipped_.empty())
        fmt::print("\nNot run:\n");
    for (const std::string& each : skipped_)
        fmt::print("  {}\n", visible(each));
    if (!failures_.empty())
        fmt::print("\nFailed:\n");
    for (const std::string& each : failures_)
        fmt::print("  {}\n", visible(each));
    fmt::print("\nin {:.0f} s\n{} passed, {} failed\n", seconds, passed_, failed_);
    std::fflush(stdout);
}

}  // namespace course
