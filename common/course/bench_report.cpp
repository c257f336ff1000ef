// The figures behind every form of the report, and the report as JSON.

#include "bench_report.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace course {

std::string microseconds(double nanoseconds) {
    const double value = nanoseconds / 1000;
    if (value < 9.995)
        return fmt::format("{:.2f}", value);
    if (value < 99.95)
        return fmt::format("{:.1f}", value);
    std::string digits = fmt::format("{:.0f}", value);
    for (std::size_t at = digits.size(); at > 3;)
        digits.insert(at -= 3, ",");
    return digits;
}

namespace {

// Three digits of it.
std::string three_digits(double value) {
    return value < 9.995   ? fmt::format("{:.2f}", value)
           : value < 99.95 ? fmt::format("{:.1f}", value)
                           : fmt::format("{:.0f}", value);
}

}  // namespace

std::string bandwidth(double bytes) {
    return bytes >= 0.9995e9 ? three_digits(bytes / 1e9) + " GB/s" : three_digits(bytes / 1e6) + " MB/s";
}

std::string short_number(double number) {
    return number >= 0.9995e6 ? three_digits(number / 1e6) + " M"
           : number >= 999.5  ? three_digits(number / 1e3) + " k"
                              : three_digits(number);
}

namespace {

bool timed_by_answers(BenchMode mode) {
    return mode == BenchMode::closed_loop || mode == BenchMode::open_loop;
}

const std::vector<double>& by_round(const Cell& cell, BenchMode mode) {
    return timed_by_answers(mode) ? cell.p50_by_round : cell.rate_by_round;
}

}  // namespace

Compared compare(const BenchResult& result, const std::string& subject, const std::string& other,
                 BenchMode mode, std::size_t size, Placement placement) {
    Compared compared{subject, other, mode, size, placement, {}};
    const Cell *a = result.cell(subject, mode, size, placement),
               *b = result.cell(other, mode, size, placement);
    if (a && b)
        compared.ratio = bench::ratio_of(by_round(*a, mode), by_round(*b, mode));
    return compared;
}

double noise_of(const BenchResult& result, BenchMode mode, std::optional<Placement> placement) {
    double noise = 0;
    for (const std::string& id : result.measured) {
        const Contender& control = contender(id);
        if (control.kind != Contender::again)
            continue;
        for (const auto& [key, cell] : result.cells)
            if (key.id == id && key.mode == mode && key.placement == placement.value_or(key.placement))
                if (const double ratio =
                        compare(result, control.of, id, mode, key.size, key.placement).ratio.median;
                    ratio > 0)
                    noise = std::max(noise, std::max(ratio, 1 / ratio) - 1);
    }
    return noise;
}

std::vector<std::string> caveats(const BenchResult& result) {
    std::vector<std::string> all;
    const double answers = noise_of(result, BenchMode::closed_loop),
                 rates = noise_of(result, BenchMode::throughput);
    std::string apart;
    if (answers > 0)
        apart = fmt::format("up to {:.0f} % in round trips", answers * 100);
    if (rates > 0)
        apart += fmt::format("{}up to {:.0f} % in throughput", apart.empty() ? "" : " and ", rates * 100);
    all.push_back(
        apart.empty()
            ? "No program was measured twice, so nothing is known of the noise."
            : fmt::format(
                  "The same program measured twice (A/A) differed by {}: smaller differences mean nothing.",
                  apart));
    if (result.others_share >= 0)
        all.push_back(fmt::format(
            "Other programs took {:.0f} % of the processors' time meanwhile.{}", result.others_share * 100,
            result.others_share > 0.1
                ? " That is too much: late answers (p99, p99.9) and all figures on two processors "
                  "are theirs as well. Measure again when the machine is quiet."
                : ""));
    return all;
}

namespace {

// "0.52 (0.50–0.55)"
std::string ratio_text(const bench::Ratio& ratio) {
    return fmt::format("{:.2f} (rounds: {:.2f} to {:.2f})", ratio.median, ratio.low, ratio.high);
}

// On a machine with other things to do, time on the wall is theirs as well; CPU time is not.
std::string by_cpu_time(const BenchResult& result, const std::string& subject, const std::string& other,
                        BenchMode mode, std::size_t size, Placement placement) {
    const Cell *a = result.cell(subject, mode, size, placement),
               *b = result.cell(other, mode, size, placement);
    if (!a || !b || b->rate_by_cpu(placement) <= 0 || a->rate_by_cpu(placement) <= 0)
        return {};
    return fmt::format("; by CPU time {:.2f}", a->rate_by_cpu(placement) / b->rate_by_cpu(placement));
}

Aim ahead_of_libraries(const BenchResult& result, BenchMode mode, std::size_t size, Placement placement) {
    const bool less_is_better = timed_by_answers(mode);
    Aim aim{fmt::format("{}, {}, {}: ahead of every library", less_is_better ? "round trip" : "throughput",
                        size_text(size), name_of(placement)),
            "", Aim::unknown};
    double worst = 0;
    for (const std::string& id : result.measured) {
        if (contender(id).kind != Contender::library)
            continue;
        const bench::Ratio ratio = compare(result, "ring", id, mode, size, placement).ratio;
        if (ratio.median <= 0)
            continue;
        const double behind = less_is_better ? ratio.median : 1 / ratio.median;
        if (behind > worst) {
            worst = behind;
            aim.seen = less_is_better
                           ? fmt::format("{} of the time of {}", ratio_text(ratio), contender(id).title)
                           : fmt::format("{} of the rate of {}", ratio_text(ratio), contender(id).title) +
                                 by_cpu_time(result, "ring", id, mode, size, placement);
        }
    }
    // Nearer to each other than the same program to itself: neither is ahead.
    const double noise = std::max(0.02, noise_of(result, mode, placement));
    aim.verdict = worst == 0                ? Aim::unknown
                  : worst < 1 / (1 + noise) ? Aim::met
                  : worst <= 1 + noise      ? Aim::level
                                            : Aim::missed;
    return aim;
}

Aim near_the_floor(const BenchResult& result, std::size_t size, Placement placement) {
    constexpr double limit = 1.15;
    const bench::Ratio ratio =
        compare(result, "ring", "floor_futex", BenchMode::closed_loop, size, placement).ratio;
    return {fmt::format("round trip, {}, {}: at most {} of the futex floor", size_text(size),
                        name_of(placement), limit),
            ratio_text(ratio),
            ratio.median <= 0       ? Aim::unknown
            : ratio.median <= limit ? Aim::met
                                    : Aim::missed};
}

Aim stream_near_memcpy(const BenchResult& result) {
    constexpr double limit = 0.7;
    const std::size_t piece = 1 << 20;
    const bench::Ratio ratio =
        compare(result, "ring", "floor_memcpy", BenchMode::stream, piece, Placement::two).ratio;
    const Cell* cell = result.cell("ring", BenchMode::stream, piece, Placement::two);
    return {fmt::format("stream from memory to memory: at least {} of memcpy", limit),
            ratio_text(ratio) +
                by_cpu_time(result, "ring", "floor_memcpy", BenchMode::stream, piece, Placement::two) +
                (cell ? ", " + bandwidth(cell->rate() * static_cast<double>(piece)) : ""),
            ratio.median <= 0       ? Aim::unknown
            : ratio.median >= limit ? Aim::met
                                    : Aim::missed};
}

Aim constant_memory(const BenchResult& result) {
    Aim aim{"memory does not grow with the stream", "", Aim::unknown};
    if (result.memory.size() < 2)
        return aim;
    for (const MemoryUse& use : result.memory)
        aim.seen += fmt::format("{}{}: {:.1f} + {:.1f} MiB, segment {:.2f} MiB", aim.seen.empty() ? "" : "; ",
                                size_text(use.bytes), use.client_kib / 1024, use.server_kib / 1024,
                                use.segment_kib / 1024);
    const MemoryUse &little = result.memory.front(), &much = result.memory.back();
    const double growth = std::max(much.client_kib - little.client_kib, much.server_kib - little.server_kib);
    aim.verdict = growth < 512 && much.segment_kib == little.segment_kib ? Aim::met : Aim::missed;
    return aim;
}

Aim near_the_bare_server(const BenchResult& result, const std::string& server, const std::string& bare,
                         std::size_t size, Placement placement) {
    constexpr double limit = 0.8;
    const bench::Ratio ratio = compare(result, server, bare, BenchMode::throughput, size, placement).ratio;
    return {fmt::format("{}, {}, {}: at least {} of a bare epoll echo", contender(server).title,
                        size_text(size), name_of(placement), limit),
            ratio_text(ratio),
            ratio.median <= 0       ? Aim::unknown
            : ratio.median >= limit ? Aim::met
                                    : Aim::missed};
}

std::vector<Aim> aims_of_server(const BenchResult& result) {
    std::vector<Aim> aims;
    for (const Placement placement : result.placements)
        for (const std::size_t size : result.message_sizes) {
            aims.push_back(near_the_bare_server(result, "server", "floor_epoll", size, placement));
            aims.push_back(near_the_bare_server(result, "server_1000", "floor_epoll_1000", size, placement));
        }
    return aims;
}

}  // namespace

std::vector<Aim> aims_of(const BenchResult& result) {
    std::vector<Aim> aims;
    if (result.title == "07")
        return aims_of_server(result);
    if (result.title != "05")
        return aims;
    for (const BenchMode mode : {BenchMode::closed_loop, BenchMode::throughput})
        for (const Placement placement : result.placements)
            for (const std::size_t size : result.answer_sizes)
                aims.push_back(ahead_of_libraries(result, mode, size, placement));
    for (const Placement placement : result.placements)
        for (const std::size_t size : result.answer_sizes)
            aims.push_back(near_the_floor(result, size, placement));
    aims.push_back(stream_near_memcpy(result));
    aims.push_back(constant_memory(result));
    return aims;
}

// ---- JSON ----

namespace {

using nlohmann::ordered_json;

ordered_json percentiles(const bench::Histogram& histogram) {
    return {{"p50_us", histogram.percentile(50) / 1000},
            {"p99_us", histogram.percentile(99) / 1000},
            {"p99_9_us", histogram.percentile(99.9) / 1000},
            {"count", histogram.count()}};
}

ordered_json json_of(const CellKey& key, const Cell& cell) {
    ordered_json json = {{"mechanism", key.id},
                         {"mode", name_of(key.mode)},
                         {"size", key.size},
                         {"placement", name_of(key.placement)}};
    if (timed_by_answers(key.mode)) {
        json["from_send"] = percentiles(cell.from_send);
        if (key.mode == BenchMode::open_loop)
            json["from_intended_send"] = percentiles(cell.from_due);
        json["p50_us_by_round"] = ordered_json::array();
        for (const double p50 : cell.p50_by_round)
            json["p50_us_by_round"].push_back(p50 / 1000);
    } else {
        json["messages_per_second"] = cell.rate();
        json["bytes_per_second"] = cell.rate() * static_cast<double>(key.size);
        json["messages_per_second_by_round"] = cell.rate_by_round;
    }
    const double messages = static_cast<double>(std::max<std::uint64_t>(1, cell.messages));
    json["cpu_us_per_message"] = cell.cpu_ns() / 1000;
    if (cell.knows_switches) {
        json["voluntary_switches_per_message"] = cell.voluntary / messages;
        json["involuntary_switches_per_message"] = cell.involuntary / messages;
    }
    json["messages"] = cell.messages;
    json["lost"] = cell.lost;
    json["duplicated"] = cell.duplicated;
    json["reordered"] = cell.reordered;
    return json;
}

}  // namespace

std::string bench_json(const BenchResult& result) {
    ordered_json json = {{"schema", "ipc-labs/bench/v1"},
                         {"benchmark", result.title.empty() ? "all" : result.title},
                         {"track", name_of(result.track)},
                         {"under_wine", result.track == Track::win32},
                         {"of", result.mine ? "mine" : "solutions"},
                         {"smoke", result.smoke},
                         {"when", result.when},
                         {"processor", result.processor},
                         {"kernel", result.kernel},
                         {"processors_used", result.cpus},
                         {"rounds", result.rounds},
                         {"seconds_each", result.seconds_each},
                         {"seconds_taken", result.seconds_taken},
                         {"open_loop_rate", result.rate},
                         {"others_share", result.others_share},
                         {"noise",
                          {{"round_trip", noise_of(result, BenchMode::closed_loop)},
                           {"throughput", noise_of(result, BenchMode::throughput)}}},
                         {"figures", ordered_json::array()},
                         {"left_out", ordered_json::array()},
                         {"aims", ordered_json::array()}};
    for (const auto& [key, cell] : result.cells)
        json["figures"].push_back(json_of(key, cell));
    for (const auto& [what, why] : result.left_out)
        json["left_out"].push_back({{"what", what}, {"why", why}});
    constexpr const char* verdicts[] = {"met", "level", "not met", "unknown"};
    for (const Aim& aim : aims_of(result))
        json["aims"].push_back({{"aim", aim.what}, {"seen", aim.seen}, {"verdict", verdicts[aim.verdict]}});
    for (const MemoryUse& use : result.memory)
        json["memory"].push_back({{"bytes", use.bytes},
                                  {"client_kib", use.client_kib},
                                  {"server_kib", use.server_kib},
                                  {"segment_kib", use.segment_kib}});
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace course
