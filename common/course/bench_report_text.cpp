// The report in a terminal.

#include "bench_report.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace course {
namespace {

// Columns that fit what is in them: the first to the left, all others to the right.
class Table {
public:
    void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    std::string text(const Style& style) const {
        std::vector<std::size_t> widths;
        for (const auto& row : rows_)
            for (std::size_t i = 0; i < row.size(); ++i) {
                widths.resize(std::max(widths.size(), row.size()));
                widths[i] = std::max(widths[i], columns(row[i]));
            }
        std::string all;
        for (const auto& row : rows_) {
            std::string line = "  ";
            for (std::size_t i = 0; i < row.size(); ++i)
                line += i == 0 ? padded(row[i], widths[i])
                               : std::string(widths[i] + 2 - columns(row[i]), ' ') + row[i];
            all += &row == &rows_.front() ? fmt::format("{}{}{}\n", style.dim, line, style.off) : line + "\n";
        }
        return all;
    }

private:
    std::vector<std::vector<std::string>> rows_;
};

std::string heading(const Style& style, std::string_view words) {
    return fmt::format("\n{}{}{}\n", style.bold, words, style.off);
}

std::string per_message(double number, std::uint64_t messages) {
    return messages ? fmt::format("{:.2f}", number / static_cast<double>(messages)) : "-";
}

bool any(const BenchResult& result, BenchMode mode, Placement placement) {
    return std::any_of(result.cells.begin(), result.cells.end(), [&](const auto& entry) {
        return entry.first.mode == mode && entry.first.placement == placement;
    });
}

std::string round_trips(const BenchResult& result, Placement placement, const Style& style) {
    if (!any(result, BenchMode::closed_loop, placement))
        return {};
    Table table;
    const std::size_t smallest = result.answer_sizes[0];
    std::vector<std::string> head = {"", size_text(smallest) + " p50", "p99", "p99.9"};
    for (std::size_t i = 1; i < result.answer_sizes.size(); ++i)
        head.push_back(size_text(result.answer_sizes[i]) + " p50");
    head.insert(head.end(), {"CPU µs", "switches", "forced"});
    table.row(head);
    for (const std::string& id : result.measured) {
        const Cell* first = result.cell(id, BenchMode::closed_loop, smallest, placement);
        if (!first)
            continue;
        std::vector<std::string> row = {contender(id).title, microseconds(first->p50()),
                                        microseconds(first->from_send.percentile(99)),
                                        microseconds(first->from_send.percentile(99.9))};
        for (std::size_t i = 1; i < result.answer_sizes.size(); ++i) {
            const Cell* cell = result.cell(id, BenchMode::closed_loop, result.answer_sizes[i], placement);
            row.push_back(cell ? microseconds(cell->p50()) : "-");
        }
        row.push_back(microseconds(first->cpu_ns()));
        row.push_back(first->knows_switches ? per_message(first->voluntary, first->messages) : "-");
        row.push_back(first->knows_switches ? per_message(first->involuntary, first->messages) : "-");
        table.row(row);
    }
    return heading(
               style,
               fmt::format("Round trip, {} (µs; CPU and context switches of both sides a round trip of {})",
                           name_of(placement), size_text(smallest))) +
           table.text(style);
}

std::string open_loop(const BenchResult& result, Placement placement, const Style& style) {
    if (!any(result, BenchMode::open_loop, placement))
        return {};
    Table table;
    table.row({"", "sent p50", "p99", "p99.9", "intended p50", "p99", "p99.9"});
    for (const std::string& id : result.measured)
        if (const Cell* cell = result.cell(id, BenchMode::open_loop, result.answer_sizes[0], placement)) {
            std::vector<std::string> row = {contender(id).title};
            for (const bench::Histogram* histogram : {&cell->from_send, &cell->from_due})
                for (const double percent : {50.0, 99.0, 99.9})
                    row.push_back(microseconds(histogram->percentile(percent)));
            table.row(row);
        }
    return heading(style, fmt::format("Open loop, {}: {:.0f} a second of {} (µs from when it was sent, and "
                                      "from when it should have been)",
                                      name_of(placement), result.rate, size_text(result.answer_sizes[0]))) +
           table.text(style);
}

std::string throughput(const BenchResult& result, Placement placement, const Style& style) {
    if (!any(result, BenchMode::throughput, placement))
        return {};
    Table table;
    const std::size_t smallest = result.message_sizes[0];
    std::vector<std::string> head = {"", "messages/s"};
    for (const std::size_t size : result.message_sizes)
        head.push_back(size_text(size));
    head.insert(head.end(), {"CPU µs", "switches", "forced"});
    table.row(head);
    for (const std::string& id : result.measured) {
        const Cell* first = result.cell(id, BenchMode::throughput, smallest, placement);
        if (!first)
            continue;
        std::vector<std::string> row = {contender(id).title, short_number(first->rate())};
        for (const std::size_t size : result.message_sizes) {
            const Cell* cell = result.cell(id, BenchMode::throughput, size, placement);
            row.push_back(cell ? bandwidth(cell->rate() * static_cast<double>(size)) : "-");
        }
        row.push_back(fmt::format("{:.3f}", first->cpu_ns() / 1000));
        row.push_back(first->knows_switches
                          ? fmt::format("{:.3f}", first->voluntary / static_cast<double>(first->messages))
                          : "-");
        row.push_back(first->knows_switches
                          ? fmt::format("{:.3f}", first->involuntary / static_cast<double>(first->messages))
                          : "-");
        table.row(row);
    }
    const bool requests = result.title == "07";
    return heading(style,
                   fmt::format("{}, {} (CPU and context switches of both sides a {} of {})",
                               requests ? "Requests, one at a time from each client" : "Throughput",
                               name_of(placement), requests ? "request" : "message", size_text(smallest))) +
           table.text(style);
}

std::string reliability(const BenchResult& result, const Style& style) {
    std::uint64_t messages = 0;
    std::string trouble;
    for (const auto& [key, cell] : result.cells) {
        messages += cell.messages;
        if (cell.lost + cell.duplicated + cell.reordered > 0)
            trouble += fmt::format("  {}, {}, {}, {}: of {} messages {} lost, {} duplicated, {} reordered\n",
                                   contender(key.id).title, name_of(key.mode), size_text(key.size),
                                   name_of(key.placement), cell.messages, cell.lost, cell.duplicated,
                                   cell.reordered);
    }
    return heading(style, "Reliability") +
           (trouble.empty() ? fmt::format("  {} messages numbered: none lost, duplicated or reordered\n",
                                          short_number(static_cast<double>(messages)))
                            : trouble);
}

std::string aims(const BenchResult& result, const Style& style) {
    const std::vector<Aim> all = aims_of(result);
    if (all.empty())
        return {};
    std::string text = heading(style, "Aims of lab " + result.title);
    for (const Aim& aim : all) {
        const auto [color, word] = aim.verdict == Aim::met      ? std::pair{style.good, "met"}
                                   : aim.verdict == Aim::level  ? std::pair{style.bold, "level"}
                                   : aim.verdict == Aim::missed ? std::pair{style.bad, "not met"}
                                                                : std::pair{style.dim, "unknown"};
        text += fmt::format("  {}{}{} {}: {}\n", color, padded(word, 8), style.off, aim.what,
                            aim.seen.empty() ? "not measured" : aim.seen);
    }
    const bool some_level =
        std::any_of(all.begin(), all.end(), [](const Aim& aim) { return aim.verdict == Aim::level; });
    return text + (some_level
                       ? "  'level': nearer to each other than the same program was to itself in this run\n"
                       : "");
}

}  // namespace

std::string bench_text(const BenchResult& result, const Style& style) {
    std::string cpus =
        result.cpus.size() > 1
            ? fmt::format("processors {} and {}, or {} alone", result.cpus[0], result.cpus[1], result.cpus[0])
            : fmt::format("processor {}; there is no second one to use", result.cpus[0]);
    std::string text = fmt::format("{}{}{}\n{} · {} · {} · {}\n", style.bold,
                                   result.title.empty()   ? "Every mechanism of the course"
                                   : result.title == "05" ? "Lab 05: the ring beside libraries and floors"
                                                          : "Lab 07: the server beside a bare one",
                                   style.off, result.when, result.processor, result.kernel, cpus);
    text += fmt::format("{} round{} of {:.0f} ms each, interleaved, after a warm-up; {:.0f} s in all; {}\n",
                        result.rounds, result.rounds == 1 ? "" : "s", result.seconds_each * 1000,
                        result.seconds_taken, result.mine ? "your own files" : "the reference solutions");
    if (result.track == Track::win32)
        text +=
            fmt::format("{}Measured under Wine: these are figures of Wine, and say nothing of Windows.{}\n",
                        style.bad, style.off);
    if (result.smoke)
        text += fmt::format("{}A smoke run: it shows that everything runs; the figures mean nothing.{}\n",
                            style.bad, style.off);
    for (const Placement placement : result.placements) {
        text += round_trips(result, placement, style);
        text += open_loop(result, placement, style);
        text += throughput(result, placement, style);
    }
    text += reliability(result, style);
    text += heading(style, "How far to trust it");
    for (const std::string& caveat : caveats(result))
        text += fmt::format("  {}\n", caveat);
    text += aims(result, style);
    if (!result.left_out.empty())
        text += heading(style, "Left out");
    for (const auto& [what, why] : result.left_out)
        text += fmt::format("  {}: {}\n", what, why);
    return text;
}

}  // namespace course
