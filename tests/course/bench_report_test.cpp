#include "bench_report.hpp"
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace course;

namespace {

constexpr const char* client = R"({"messages": 4, "lost": 1, "duplicated": 0, "reordered": 0,
    "from_send": [[10,2],[20,1]], "from_due": [[30,3]], "cpu_seconds": 0.5, "voluntary": 6, "involuntary": 2})";
constexpr const char* server = R"({"messages": 4, "distinct": 3, "duplicated": 1, "reordered": 0,
    "timed_messages": 100, "timed_seconds": 0.5, "cpu_seconds": 1.5, "voluntary": 2, "involuntary": 0})";

Cell with(std::vector<double> p50, std::vector<double> rate) {
    Cell cell;
    cell.p50_by_round = std::move(p50);
    cell.rate_by_round = std::move(rate);
    cell.from_send.record(cell.p50_by_round.empty() ? 0 : static_cast<std::uint64_t>(cell.p50_by_round[0]));
    cell.messages = 1;
    return cell;
}

// The ring beside one library and the floors, in one size.
BenchResult measured() {
    BenchResult result;
    result.title = "05";
    result.cpus = {0, 1};
    result.placements = {Placement::two};
    result.answer_sizes = result.message_sizes = {64};
    result.measured = {"ring", "ring_again", "library_boost", "floor_futex", "floor_memcpy"};
    const auto put = [&](const char* id, BenchMode mode, std::size_t size, Cell cell) {
        result.cells[{id, mode, size, Placement::two}] = std::move(cell);
    };
    put("ring", BenchMode::closed_loop, 64, with({100, 200}, {}));
    put("ring_again", BenchMode::closed_loop, 64, with({110, 220}, {}));
    put("library_boost", BenchMode::closed_loop, 64, with({400, 800}, {}));
    put("floor_futex", BenchMode::closed_loop, 64, with({90, 160}, {}));
    put("ring", BenchMode::throughput, 64, with({}, {50, 70}));
    put("library_boost", BenchMode::throughput, 64, with({}, {100, 100}));
    return result;
}

Aim aim(const BenchResult& result, const std::string& beginning) {
    for (const Aim& each : aims_of(result))
        if (each.what.rfind(beginning, 0) == 0)
            return each;
    return {};
}

}  // namespace

TEST_CASE("two reports become figures of both sides") {
    Cell cell;
    add_reports(cell, BenchMode::closed_loop, client, server);
    CHECK(cell.messages == 4);
    CHECK(cell.lost == 1);
    CHECK(cell.cpu_seconds == 2.0);
    CHECK(cell.voluntary == 8);
    CHECK(cell.p50() == 10);
    CHECK(cell.from_due.percentile(50) == 30);
    CHECK(cell.p50_by_round == std::vector<double>{10});
    add_reports(cell, BenchMode::throughput, client, server);
    CHECK(cell.rate() == 200);
    CHECK(cell.lost == 2);  // three of four arrived
    CHECK(cell.duplicated == 1);
}

TEST_CASE("what is no report, or of no message, is an error and not a figure") {
    Cell cell;
    CHECK_THROWS(add_reports(cell, BenchMode::closed_loop, "", server));
    CHECK_THROWS(add_reports(cell, BenchMode::closed_loop, "{}", server));
    CHECK_THROWS(
        add_reports(cell, BenchMode::closed_loop, R"({"messages": 1, "from_send": [[99999,1]]})", server));
    CHECK_THROWS(add_reports(
        cell, BenchMode::throughput, client,
        R"({"distinct": 0, "duplicated": 0, "reordered": 0, "timed_messages": 0, "timed_seconds": 0, "cpu_seconds": 0})"));
}

TEST_CASE("aims are judged by rounds that measured both, and by what the control allows") {
    BenchResult result = measured();
    CHECK(noise_of(result, BenchMode::closed_loop) == doctest::Approx(0.1));
    CHECK(aim(result, "round trip, 64 B, two processors: ahead").verdict == Aim::met);
    CHECK(aim(result, "throughput, 64 B, two processors: ahead").verdict == Aim::missed);
    CHECK(aim(result, "round trip, 64 B, two processors: at most").verdict == Aim::missed);  // 1.18
    CHECK(aim(result, "stream").verdict == Aim::unknown);
    CHECK(aim(result, "memory").verdict == Aim::unknown);

    result.cells.at({"library_boost", BenchMode::closed_loop, 64, Placement::two}) = with({105, 190}, {});
    CHECK(aim(result, "round trip, 64 B, two processors: ahead").verdict == Aim::level);
    result.cells.at({"library_boost", BenchMode::closed_loop, 64, Placement::two}) = with({80, 100}, {});
    CHECK(aim(result, "round trip, 64 B, two processors: ahead").verdict == Aim::missed);
    result.memory = {{64, 4000, 4000, 1024}, {1024, 4100, 4000, 1024}};
    CHECK(aim(result, "memory").verdict == Aim::met);
    result.memory[1].server_kib = 70'000;
    CHECK(aim(result, "memory").verdict == Aim::missed);
}

TEST_CASE("figures are written with three digits and their unit") {
    CHECK(microseconds(512) == "0.51");
    CHECK(microseconds(54'321) == "54.3");
    CHECK(microseconds(1'234'567) == "1,235");
    CHECK(bandwidth(38.7e9) == "38.7 GB/s");
    CHECK(bandwidth(999.9e6) == "1.00 GB/s");
    CHECK(bandwidth(4.2e6) == "4.20 MB/s");
    CHECK(short_number(61'000) == "61.0 k");
    CHECK(size_text(64) == "64 B");
    CHECK(size_text(4096) == "4 KiB");
    CHECK(size_text(1 << 20) == "1 MiB");
}

TEST_CASE("every form of the report has the figures, and names in it can not become markup") {
    BenchResult result = measured();
    result.processor = "A <b>processor</b> & more";
    result.left_out = {{"nng ipc://", "not installed; Debian's package is libnng-dev"}};
    const std::string text = bench_text(result, {}), svg = bench_svg(result), html = bench_html(result);
    CHECK(text.find("shared-memory ring") != std::string::npos);
    CHECK(text.find("libnng-dev") != std::string::npos);
    CHECK(svg.find("A &lt;b&gt;processor&lt;/b&gt; &amp; more") != std::string::npos);
    CHECK(svg.find("<b>") == std::string::npos);
    CHECK(html.find("<b>") == std::string::npos);
    CHECK(svg.find("prefers-color-scheme: dark") != std::string::npos);
    CHECK(svg.find("<title id=") != std::string::npos);
    const auto json = nlohmann::json::parse(bench_json(result));
    CHECK(json["schema"] == "ipc-labs/bench/v1");
    CHECK(json["figures"].size() == result.cells.size());
    CHECK(json["left_out"].size() == 1);
    CHECK(json["under_wine"] == false);
}

TEST_CASE("figures of Wine and of smoke runs say so in every form") {
    BenchResult result = measured();
    result.track = Track::win32;
    result.smoke = true;
    for (const std::string& form : {bench_text(result, {}), bench_svg(result), bench_html(result)}) {
        CHECK(form.find("figures of Wine") != std::string::npos);
        CHECK(form.find("mean nothing") != std::string::npos);
    }
    CHECK(nlohmann::json::parse(bench_json(result))["under_wine"] == true);
}

TEST_CASE("a result without a figure is still a report") {
    BenchResult nothing;
    nothing.cpus = {0};
    nothing.placements = {Placement::one};
    nothing.answer_sizes = nothing.message_sizes = {64};
    CHECK_FALSE(bench_text(nothing, {}).empty());
    CHECK(bench_svg(nothing).find("</svg>") != std::string::npos);
    CHECK(bench_html(nothing).find("</html>") != std::string::npos);
}
