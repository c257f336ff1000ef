// The report as a picture, and as a page around it: which mechanism, when?

#include "bench_report.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <sstream>

namespace course {
namespace {

std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text)
        switch (c) {
        case '&':
            result += "&amp;";
            break;
        case '<':
            result += "&lt;";
            break;
        case '>':
            result += "&gt;";
            break;
        case '"':
            result += "&quot;";
            break;
        default:
            result += c;
        }
    return result;
}

// Colours that stay apart for all kinds of eyes (Okabe and Ito), and a shape each: nothing is said by colour
// alone.
constexpr const char* style_sheet = R"(
  .bench { --paper: #ffffff; --panel: #f6f7f9; --ink: #1b1f24; --quiet: #59636e; --line: #d1d9e0;
    --s0: #0072b2; --s1: #b85c00; --s2: #00795a; --s3: #c7362b; --s4: #8f3f97; --s5: #4d5bd6; --s6: #6b6b00; --s7: #00707f; --s8: #a0305f; }
  @media (prefers-color-scheme: dark) {
    .bench { --paper: #14181d; --panel: #1c2229; --ink: #e8ecf1; --quiet: #9aa6b2; --line: #39424d;
      --s0: #58b5ee; --s1: #f5a742; --s2: #35c99b; --s3: #ff8a73; --s4: #d99be0; --s5: #a3adff; --s6: #d3cf52; --s7: #52cbdb; --s8: #f08bb4; } }
  .bench text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
  .bench .title { font-size: 24px; font-weight: 700; }
  .bench .heading { font-size: 16px; font-weight: 600; }
  .bench .small { font-size: 12px; fill: var(--quiet); }
  .bench .strong { font-weight: 600; }
  .bench .number { font-variant-numeric: tabular-nums; }
  .bench .warning { font-weight: 700; fill: var(--s3); }
  .bench .paper { fill: var(--paper); }
  .bench .panel { fill: var(--panel); }
  .bench .grid { stroke: var(--line); stroke-width: 1; fill: none; }
  .bench .floor { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
  .bench .s0 { --c: var(--s0); } .bench .s1 { --c: var(--s1); } .bench .s2 { --c: var(--s2); } .bench .s3 { --c: var(--s3); }
  .bench .s4 { --c: var(--s4); } .bench .s5 { --c: var(--s5); } .bench .s6 { --c: var(--s6); } .bench .s7 { --c: var(--s7); }
  .bench .s8 { --c: var(--s8); }
  .bench .stroke { stroke: var(--c); stroke-width: 2.25; fill: none; stroke-linecap: round; }
  .bench .thin { stroke-width: 1.5; }
  .bench .fill { fill: var(--c); stroke: var(--c); stroke-width: 1.5; }
  .bench .hollow { fill: var(--panel); stroke: var(--c); stroke-width: 2; }
)";

class Drawing {
public:
    void text(double x, double y, std::string_view words, const char* classes = "",
              const char* anchor = "start") {
        body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n", x,
                             y, classes, anchor, escaped(words));
    }
    void line(double x1, double y1, double x2, double y2, std::string_view classes) {
        body_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n",
                             x1, y1, x2, y2, classes);
    }
    void box(double x, double y, double width, double height, std::string_view classes, double radius = 0) {
        body_ += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" class=\"{}\"/>\n",
            x, y, width, height, radius, classes);
    }
    void path(const std::string& points, std::string_view classes) {
        body_ += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", points, classes);
    }
    void mark(double x, double y, std::size_t series, const char* how) {
        const std::string classes = fmt::format("s{} {}", series % 9, how);
        switch (series % 5) {
        case 0:
            body_ +=
                fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" class=\"{}\"/>\n", x, y, classes);
            break;
        case 1:
            box(x - 4, y - 4, 8, 8, classes);
            break;
        case 2:
            path(fmt::format("M{:.1f} {:.1f}l5 8h-10z", x, y - 5), classes);
            break;
        case 3:
            path(fmt::format("M{:.1f} {:.1f}l5.5 5.5l-5.5 5.5l-5.5-5.5z", x, y - 5.5), classes);
            break;
        default:
            path(fmt::format("M{:.1f} {:.1f}l5-8h-10z", x, y + 5), classes);
        }
    }
    void titled(std::string_view words) { body_ += fmt::format("<g><title>{}</title>\n", escaped(words)); }
    void end() { body_ += "</g>\n"; }
    const std::string& body() const { return body_; }

private:
    std::string body_;
};

// A logarithmic axis from one power of ten to another.
class Scale {
public:
    Scale(double low, double high, double from, double to)
        : low_(std::floor(std::log10(low))), high_(std::max(std::ceil(std::log10(high)), low_ + 1)),
          from_(from), to_(to) {}
    double at(double value) const {
        return from_ + (to_ - from_) * (std::log10(value) - low_) / (high_ - low_);
    }
    std::vector<double> decades() const {
        std::vector<double> all;
        for (double power = low_; power <= high_; ++power)
            all.push_back(std::pow(10.0, power));
        return all;
    }

private:
    double low_, high_, from_, to_;
};

// What is drawn: contenders, each with its colour and shape; not the controls, and floors as lines.
struct Chart {
    const BenchResult& result;
    std::vector<std::string> series;

    explicit Chart(const BenchResult& measured) : result(measured) {
        for (const std::string& id : result.measured)
            if (contender(id).kind == Contender::mechanism || contender(id).kind == Contender::library)
                series.push_back(id);
    }
    std::size_t number_of(const std::string& id) const {
        return static_cast<std::size_t>(std::find(series.begin(), series.end(), id) - series.begin());
    }
    Placement placement() const { return result.placements[0]; }
    const Cell* round_trip(const std::string& id, Placement where) const {
        return result.cell(id, BenchMode::closed_loop, result.answer_sizes[0], where);
    }
    const Cell* flow(const std::string& id, std::size_t size) const {
        return result.cell(id, BenchMode::throughput, size, placement());
    }
    bool has(const std::string& id) const {
        return std::find(result.measured.begin(), result.measured.end(), id) != result.measured.end();
    }

    std::vector<std::string> by(const std::function<double(const std::string&)>& value) const {
        std::vector<std::string> sorted;
        for (const std::string& id : series)
            if (value(id) > 0)
                sorted.push_back(id);
        std::stable_sort(sorted.begin(), sorted.end(),
                         [&](const std::string& a, const std::string& b) { return value(a) < value(b); });
        return sorted;
    }
};

struct Area {
    double x, y, width, height;
};

void frame(Drawing& drawing, const Area& area, std::string_view question, std::string_view what) {
    drawing.box(area.x, area.y, area.width, area.height, "panel", 10);
    drawing.text(area.x + 18, area.y + 28, question, "heading");
    drawing.text(area.x + 18, area.y + 47, what, "small");
}

std::string duration_label(double us) {
    return us >= 1e6    ? fmt::format("{:g} s", us / 1e6)
           : us >= 1000 ? fmt::format("{:g} ms", us / 1000)
                        : fmt::format("{:g} µs", us);
}
std::string rate_label(double bytes) {
    return bytes >= 1e9   ? fmt::format("{:g} GB/s", bytes / 1e9)
           : bytes >= 1e6 ? fmt::format("{:g} MB/s", bytes / 1e6)
                          : fmt::format("{:g} kB/s", bytes / 1e3);
}

// ---- how soon is the answer there? ----

constexpr double lane = 19, row = 2 * lane + 8, names = 182;

void draw_answer(Drawing& drawing, const Cell& cell, const Scale& scale, double y, std::size_t series,
                 bool filled, double text_x) {
    const double p50 = cell.p50() / 1000, p99 = cell.from_send.percentile(99) / 1000,
                 p999 = cell.from_send.percentile(99.9) / 1000;
    const std::string color = fmt::format("s{} stroke", series % 9);
    drawing.line(scale.at(p50), y, scale.at(p999), y, color + " thin");
    drawing.line(scale.at(p99), y - 4, scale.at(p99), y + 4, color);
    drawing.line(scale.at(p999), y - 4, scale.at(p999), y + 4, color + " thin");
    drawing.mark(scale.at(p50), y, series, filled ? "fill" : "hollow");
    drawing.text(text_x, y + 4.5, microseconds(cell.p50()), filled ? "number strong" : "number", "end");
}

double answers_height(const Chart& chart) {
    return 118 + row * static_cast<double>(std::max<std::size_t>(chart.series.size(), 3));
}

void draw_answers(Drawing& drawing, const Chart& chart, const Area& area) {
    const std::vector<std::string> order = chart.by([&](const std::string& id) {
        const Cell* cell = chart.round_trip(id, chart.placement());
        return cell ? cell->p50() : 0;
    });
    const bool both = chart.result.placements.size() > 1;
    frame(drawing, area, "How soon is the answer there?",
          fmt::format("Round trip of {}: mark at the median, ticks at p99 and p99.9",
                      size_text(chart.result.answer_sizes[0])));
    double low = 1e300, high = 0;
    for (const auto& [key, cell] : chart.result.cells)
        if (key.mode == BenchMode::closed_loop && key.size == chart.result.answer_sizes[0] &&
            key.id != "floor_spin") {
            low = std::min(low, cell.p50() / 1000);
            high = std::max(high, cell.from_send.percentile(99.9) / 1000);
        }
    if (high == 0)
        return;
    const double left = area.x + names, right = area.x + area.width - 74, top = area.y + 84,
                 bottom = area.y + area.height - 30;
    const Scale scale(low, high, left, right);
    for (const double decade : scale.decades()) {
        drawing.line(scale.at(decade), top - 12, scale.at(decade), bottom, "grid");
        drawing.text(scale.at(decade), bottom + 17, duration_label(decade), "small", "middle");
    }
    drawing.text(area.x + area.width - 18, top - 18, "median, µs", "small", "end");
    if (both) {
        drawing.text(area.x + 18, top - 18, "filled: two processors · hollow: one", "small");
    }
    if (const Cell* floor = chart.round_trip("floor_futex", chart.placement())) {
        const double x = scale.at(floor->p50() / 1000);
        drawing.titled(fmt::format("The floor: futex and copies, {} µs", microseconds(floor->p50())));
        drawing.line(x, top - 12, x, bottom, "floor");
        drawing.end();
    }
    const double pitch = std::min(1.6 * row, (bottom - top) / static_cast<double>(order.size()));
    double y = top + (pitch - row) / 2 + lane / 2;
    for (const std::string& id : order) {
        const std::size_t series = chart.number_of(id);
        drawing.titled(contender(id).title);
        drawing.text(area.x + 18, y + (both ? lane / 2 : 0) + 4.5, contender(id).title, "strong");
        for (const Placement placement : chart.result.placements) {
            if (const Cell* cell = chart.round_trip(id, placement))
                draw_answer(drawing, *cell, scale, y + (placement == chart.placement() ? 0 : lane), series,
                            placement == chart.placement(), area.x + area.width - 18);
        }
        drawing.end();
        y += pitch;
    }
}

// ---- how much gets through? ----

struct Label {
    double wanted, y;
    std::string text;
    std::size_t series;
};

// Labels at the lines' ends, moved apart until each can be read.
void spread(std::vector<Label>& labels, double bottom) {
    constexpr double apart = 17;
    std::sort(labels.begin(), labels.end(),
              [](const Label& a, const Label& b) { return a.wanted < b.wanted; });
    for (std::size_t i = 0; i < labels.size(); ++i)
        labels[i].y = i == 0 ? labels[i].wanted : std::max(labels[i].wanted, labels[i - 1].y + apart);
    for (std::size_t i = labels.size(); i-- > 0;)
        labels[i].y = std::min(labels[i].y, i + 1 == labels.size() ? bottom : labels[i + 1].y - apart);
}

void draw_throughput(Drawing& drawing, const Chart& chart, const Area& area) {
    frame(drawing, area, "How much gets through?",
          fmt::format("Bytes a second in messages of each size, {}", name_of(chart.placement())));
    double low = 1e300, high = 0;
    for (const auto& [key, cell] : chart.result.cells)
        if (key.mode == BenchMode::throughput && key.placement == chart.placement()) {
            low = std::min(low, cell.rate() * static_cast<double>(key.size));
            high = std::max(high, cell.rate() * static_cast<double>(key.size));
        }
    if (high == 0)
        return;
    const double left = area.x + 84, right = area.x + area.width - (chart.result.title == "07" ? 270 : 190),
                 top = area.y + 74, bottom = area.y + area.height - 34;
    const Scale scale(low, high, bottom, top);
    for (const double decade : scale.decades()) {
        drawing.line(left, scale.at(decade), right, scale.at(decade), "grid");
        drawing.text(left - 10, scale.at(decade) + 4, rate_label(decade), "small", "end");
    }
    const auto& sizes = chart.result.message_sizes;
    const auto x_of = [&](std::size_t i) {
        return sizes.size() < 2
                   ? left
                   : left + 12 +
                         (right - left - 24) * static_cast<double>(i) / static_cast<double>(sizes.size() - 1);
    };
    for (std::size_t i = 0; i < sizes.size(); ++i)
        drawing.text(x_of(i), bottom + 20, size_text(sizes[i]), "small", "middle");
    std::vector<Label> labels;
    const auto draw_line = [&](const std::string& id, bool floor) {
        std::string points;
        double x = 0, y = 0;
        std::vector<std::pair<double, double>> marks;
        for (std::size_t i = 0; i < sizes.size(); ++i)
            if (const Cell* cell = chart.flow(id, sizes[i])) {
                x = x_of(i);
                y = scale.at(cell->rate() * static_cast<double>(sizes[i]));
                points += fmt::format("{}{:.1f} {:.1f}", points.empty() ? "M" : "L", x, y);
                marks.emplace_back(x, y);
            }
        if (points.empty())
            return;
        const std::size_t series = chart.number_of(id);
        drawing.titled(contender(id).title);
        drawing.path(points, floor ? "floor" : fmt::format("s{} stroke", series % 9));
        for (const auto& [mark_x, mark_y] : marks)
            if (!floor)
                drawing.mark(mark_x, mark_y, series, "fill");
        drawing.end();
        labels.push_back({y, y, contender(id).title, floor ? SIZE_MAX : series});
    };
    for (const std::string& id : chart.result.measured)
        if (contender(id).kind == Contender::floor)
            draw_line(id, true);
    for (const std::string& id : chart.series)
        draw_line(id, false);
    spread(labels, bottom - 4);
    for (const Label& label : labels) {
        const double x = right + 14;
        if (label.series != SIZE_MAX)
            drawing.mark(x, label.y, label.series, "fill");
        else
            drawing.line(x - 7, label.y, x + 7, label.y, "floor");
        drawing.text(x + 12, label.y + 4.5, label.text, label.series == SIZE_MAX ? "small" : "");
    }
}

// ---- what does it cost? ----

void draw_cost(Drawing& drawing, const Chart& chart, const Area& area) {
    frame(drawing, area, "What does it cost?",
          fmt::format("CPU time of both sides a round trip of {}, {}",
                      size_text(chart.result.answer_sizes[0]), name_of(chart.placement())));
    const auto cost = [&](const std::string& id) {
        const Cell* cell = chart.round_trip(id, chart.placement());
        return cell ? cell->cpu_ns() : 0;
    };
    const std::vector<std::string> order = chart.by(cost);
    if (order.empty())
        return;
    const double left = area.x + names, right = area.x + area.width - 170, most = cost(order.back());
    const double pitch = std::min(44.0, (area.height - 92) / static_cast<double>(order.size()));
    double y = area.y + 68 + pitch / 2 - 8;
    for (const std::string& id : order) {
        const Cell& cell = *chart.round_trip(id, chart.placement());
        drawing.titled(contender(id).title);
        drawing.text(area.x + 18, y + 13, contender(id).title, "strong");
        drawing.box(left, y, std::max(2.0, (right - left) * cost(id) / most), 17,
                    fmt::format("s{} fill", chart.number_of(id) % 9), 3);
        std::string words = microseconds(cost(id)) + " µs";
        if (cell.knows_switches)
            words += fmt::format(", {:.1f} switches",
                                 (cell.voluntary + cell.involuntary) /
                                     static_cast<double>(std::max<std::uint64_t>(1, cell.messages)));
        drawing.text(left + (right - left) * cost(id) / most + 10, y + 13, words, "number");
        drawing.end();
        y += pitch;
    }
}

double cost_height(const Chart& chart) {
    return 96 + 27 * static_cast<double>(std::max<std::size_t>(chart.series.size(), 7));
}

// ---- which, when? ----

struct Answer {
    std::string question;
    std::vector<std::string> ids;  // several that are level with each other
    std::string figure;
};

std::string names_of(const Answer& answer) {
    std::vector<std::string> titles;
    for (const std::string& id : answer.ids)
        titles.push_back(contender(id).title);
    if (titles.size() > 2)
        titles = {joined({titles.begin(), titles.end() - 1}), titles.back()};
    return joined(titles, " or ");
}

std::optional<Answer> best(const Chart& chart, const char* question,
                           const std::function<double(const std::string&)>& value, bool least,
                           const std::function<std::string(double)>& figure) {
    const std::vector<std::string> order = chart.by(value);
    if (order.empty())
        return std::nullopt;
    const double first = value(least ? order.front() : order.back());
    // Not further apart than the same program from itself: neither is the first.
    const double noise =
        1 + std::clamp(noise_of(chart.result, least ? BenchMode::closed_loop : BenchMode::throughput), 0.05,
                       0.25);
    Answer answer{question, {}, figure(first)};
    for (const std::string& id : order)
        if (least ? value(id) <= first * noise : value(id) * noise >= first)
            answer.ids.push_back(id);
    if (!least)
        std::reverse(answer.ids.begin(), answer.ids.end());
    answer.ids.resize(std::min<std::size_t>(answer.ids.size(), 3));
    return answer;
}

std::vector<Answer> answers(const Chart& chart) {
    const auto carries = [](const std::string& id) { return contender(id).largest_message > 0; };
    const auto us = [](double ns) { return microseconds(ns) + " µs"; };
    const std::size_t small = chart.result.message_sizes.front(), large = chart.result.message_sizes.back();
    const auto trip = [&](Placement where, double percent) {
        return [&chart, carries, where, percent](const std::string& id) {
            const Cell* cell = carries(id) ? chart.round_trip(id, where) : nullptr;
            return cell ? cell->from_send.percentile(percent) : 0;
        };
    };
    const auto rate = [&](std::size_t size, bool bytes) {
        return [&chart, size, bytes](const std::string& id) {
            const Cell* cell = chart.flow(id, size);
            return cell ? cell->rate() * (bytes ? static_cast<double>(size) : 1) : 0;
        };
    };
    std::vector<Answer> all;
    const auto add = [&](std::optional<Answer> answer) {
        if (answer)
            all.push_back(*answer);
    };
    const bool both = chart.result.placements.size() > 1;
    if (both)
        add(best(chart, "The answer soonest, two processors", trip(Placement::two, 50), true, us));
    add(best(chart, "The answer soonest, one processor", trip(Placement::one, 50), true, us));
    add(best(chart, "The most small messages", rate(small, false), false,
             [](double r) { return short_number(r) + " a second"; }));
    add(best(chart, "The most bytes", rate(large, true), false, bandwidth));
    add(best(
        chart, "The least CPU time an answer",
        [&](const std::string& id) {
            const Cell* cell = carries(id) ? chart.round_trip(id, chart.placement()) : nullptr;
            return cell ? cell->cpu_ns() : 0;
        },
        true, us));
    add(best(
        chart, "Only 'now!', no bytes",
        [&](const std::string& id) {
            const Cell* cell = carries(id) ? nullptr : chart.round_trip(id, chart.placement());
            return cell ? cell->p50() : 0;
        },
        true, us));
    return all;
}

void draw_glance(Drawing& drawing, const Chart& chart, const Area& area) {
    frame(drawing, area, "You want …",
          "… and on this machine the first was, or the first were, level with each other:");
    double y = area.y + 78;
    for (const Answer& answer : answers(chart)) {
        double x = area.x + 24;
        for (const std::string& id : answer.ids) {
            drawing.mark(x, y + 16.5, chart.number_of(id), "fill");
            x += 15;
        }
        drawing.text(area.x + 18, y + 4, answer.question, "small");
        drawing.text(x + 1, y + 21, names_of(answer), "strong");
        drawing.text(area.x + area.width - 18, y + 4, answer.figure, "number strong", "end");
        y += 42;
    }
}

std::string summary(const BenchResult& result) {
    return fmt::format("{} · {} · {}", result.processor, result.kernel, result.when);
}

std::string title(const BenchResult& result) {
    return result.title.empty()   ? "Which mechanism, when?"
           : result.title == "05" ? "The ring of lab 05 beside libraries"
                                  : "The server of lab 07 beside a bare one";
}

std::vector<std::string> warnings(const BenchResult& result) {
    std::vector<std::string> all;
    if (result.track == Track::win32)
        all.push_back("Measured under Wine: these are figures of Wine, and say nothing of Windows.");
    if (result.smoke)
        all.push_back("A smoke run: the figures mean nothing.");
    return all;
}

// For those who do not see the picture.
std::string description(const Chart& chart) {
    std::string text;
    for (const Answer& answer : answers(chart))
        text += fmt::format("{}: {}, {}. ", answer.question, names_of(answer), answer.figure);
    for (const std::string& id : chart.series)
        if (const Cell* cell = chart.round_trip(id, chart.placement()))
            text +=
                fmt::format("{}: median round trip {} µs. ", contender(id).title, microseconds(cell->p50()));
    return text;
}

std::string svg_of(const BenchResult& result, bool alone) {
    const Chart chart(result);
    constexpr double width = 1120, margin = 24, gap = 16, left_width = 540;
    const double right_width = width - 2 * margin - gap - left_width;
    Drawing drawing;
    double y = margin;
    if (alone) {
        drawing.text(margin, y + 22, title(result), "title");
        drawing.text(margin, y + 44, summary(result), "small");
        y += 60;
    }
    for (const std::string& warning : warnings(result)) {
        drawing.text(margin, y + 12, warning, "warning");
        y += 24;
    }
    const bool answered = std::any_of(chart.series.begin(), chart.series.end(), [&](const std::string& id) {
        return chart.round_trip(id, chart.placement());
    });
    if (answered) {
        const double upper = std::max(answers_height(chart), 380.0);
        const double lower =
            std::max(cost_height(chart), 92 + 42.0 * static_cast<double>(answers(chart).size()));
        draw_answers(drawing, chart, {margin, y, left_width, upper});
        draw_throughput(drawing, chart, {margin + left_width + gap, y, right_width, upper});
        y += upper + gap;
        draw_cost(drawing, chart, {margin, y, left_width, lower});
        draw_glance(drawing, chart, {margin + left_width + gap, y, right_width, lower});
        y += lower + 30;
    } else {
        constexpr double height = 460;
        draw_throughput(drawing, chart, {margin, y, width - 2 * margin, height});
        y += height + 30;
    }
    drawing.text(
        margin, y,
        fmt::format("Dashed: {}. docs/benchmark.md says how it was measured.",
                    result.title == "07"
                        ? "a server that sends back what it reads, and does nothing else"
                        : "what the kernel and memory leave possible (a futex and the copies; memcpy)"),
        "small");
    for (const std::string& caveat : caveats(result)) {
        std::istringstream lines(wrapped(caveat, 165, 0));
        for (std::string line; std::getline(lines, line);)
            drawing.text(margin, y += 18, line, "small");
    }
    y += 20;
    return fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
                       "width=\"{0:.0f}\" height=\"{1:.0f}\" class=\"bench\" role=\"img\" "
                       "aria-labelledby=\"bench-title bench-desc\">\n<title "
                       "id=\"bench-title\">{2}</title>\n<desc id=\"bench-desc\">{3}</desc>\n{4}"
                       "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n{5}</svg>\n",
                       width, y, escaped(title(result)), escaped(description(chart)),
                       alone ? fmt::format("<style>{}</style>\n", style_sheet) : "", drawing.body());
}

// ---- the page ----

constexpr const char* page_style = R"(
  :root { color-scheme: light dark; }
  body.bench { margin: 0 auto; padding: 1.5rem; max-width: 1120px; background: var(--paper); color: var(--ink);
    font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
  h1 { font-size: 1.75rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
  .quiet { color: var(--quiet); } .warning { color: var(--s3); font-weight: 700; }
  figure { margin: 1rem -24px; overflow-x: auto; } figure svg { display: block; width: 100%; min-width: 900px; height: auto; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
  caption { text-align: left; color: var(--quiet); padding: .3rem 0; }
  th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; font-variant-numeric: tabular-nums; vertical-align: top; white-space: nowrap; }
  th:first-child, td:first-child, .words td, .words th { text-align: left; }
  .words td { white-space: normal; } .words .number { white-space: nowrap; }
  .wide + .wide { margin-top: 1.4rem; }
  thead th { color: var(--quiet); font-weight: 600; }
  .met { color: var(--s2); font-weight: 600; } .missed { color: var(--s3); font-weight: 600; } .level { font-weight: 600; }
)";

// What no measurement shows; the figures stand beside it.
struct Character {
    const char *id, *who, *shape, *when;
};
constexpr Character characters[] = {
    {"pipe", "a parent and its child", "bytes, one way",
     "you start the other program yourself: nothing to name, nothing to clean up"},
    {"named_pipe", "whoever knows the name, on this machine",
     "lines on Linux, messages on Windows; both ways",
     "strangers meet by a name, also a shell's cat and echo"},
    {"mailslot", "anybody to one, on this machine", "short messages, one way",
     "many report to one, and each message stands for itself"},
    {"ring", "two that trust each other", "bytes, one way",
     "large amounts, or the last microsecond; you check what the other side writes"},
    {"event", "whoever knows the name", "no bytes", "something has happened, and others wait for it"},
    {"semaphore", "whoever knows the name", "no bytes", "so many at a time"},
    {"unix_socket", "whoever knows the path, on this machine", "bytes, both ways",
     "a server on this machine, that wants to know who is calling"},
    {"tcp", "anybody, on any machine", "bytes, both ways", "the other side may be elsewhere, now or later"},
    {"udp", "anybody, on any machine", "messages that may get lost", "late is worse than lost"},
};

std::string cell_text(const Cell* cell, const std::function<std::string(const Cell&)>& text) {
    return cell ? escaped(text(*cell)) : "–";
}

std::string table_of_characters(const Chart& chart) {
    std::string rows;
    for (const Character& each : characters)
        if (chart.has(each.id)) {
            const Cell* two = chart.round_trip(each.id, chart.placement());
            double most = 0;
            for (const std::size_t size : chart.result.message_sizes)
                if (const Cell* cell = chart.flow(each.id, size))
                    most = std::max(most, cell->rate() * static_cast<double>(size));
            rows +=
                fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td "
                            "class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                            escaped(contender(each.id).title), each.who, each.shape, each.when,
                            cell_text(two, [](const Cell& cell) { return microseconds(cell.p50()) + " µs"; }),
                            most > 0 ? bandwidth(most) : "–");
        }
    if (rows.empty())
        return {};
    return fmt::format(
        "<h2>Which one is for what</h2>\n<div class=\"wide\"><table class=\"words\"><thead><tr><th "
        "scope=\"col\">mechanism</th><th scope=\"col\">between</th>"
        "<th scope=\"col\">carries</th><th scope=\"col\">take it when</th><th scope=\"col\">round trip of "
        "{}</th><th scope=\"col\">at most</th></tr></thead>"
        "<tbody>\n{}</tbody></table></div>\n",
        size_text(chart.result.answer_sizes.front()), rows);
}

std::string row_of(const std::string& head, const std::vector<std::string>& cells) {
    std::string text = fmt::format("<tr><th scope=\"row\">{}</th>", escaped(head));
    for (const std::string& cell : cells)
        text += fmt::format("<td>{}</td>", escaped(cell));
    return text + "</tr>\n";
}

std::string table(const std::string& caption, const std::vector<std::string>& head, const std::string& rows) {
    std::string text =
        fmt::format("<div class=\"wide\"><table><caption>{}</caption><thead><tr><th scope=\"col\"></th>",
                    escaped(caption));
    for (const std::string& each : head)
        text += fmt::format("<th scope=\"col\">{}</th>", escaped(each));
    return rows.empty() ? "" : text + "</tr></thead><tbody>\n" + rows + "</tbody></table></div>\n";
}

std::string three(const bench::Histogram& histogram) {
    return fmt::format("{} / {} / {}", microseconds(histogram.percentile(50)),
                       microseconds(histogram.percentile(99)), microseconds(histogram.percentile(99.9)));
}

std::string tables_of(const BenchResult& result, Placement placement) {
    std::vector<std::string> answer_head, flow_head;
    for (const std::size_t size : result.answer_sizes)
        answer_head.push_back(size_text(size));
    for (const std::size_t size : result.message_sizes)
        flow_head.push_back(size_text(size));
    std::string trips, flows, open;
    for (const std::string& id : result.measured) {
        std::vector<std::string> trip, flow;
        bool any_trip = false, any_flow = false;
        for (const std::size_t size : result.answer_sizes) {
            const Cell* cell = result.cell(id, BenchMode::closed_loop, size, placement);
            any_trip = any_trip || cell;
            trip.push_back(cell ? three(cell->from_send) : "–");
        }
        for (const std::size_t size : result.message_sizes) {
            const Cell* cell = result.cell(id, BenchMode::throughput, size, placement);
            any_flow = any_flow || cell;
            flow.push_back(cell ? fmt::format("{}, {}/s", bandwidth(cell->rate() * static_cast<double>(size)),
                                              short_number(cell->rate()))
                                : "–");
        }
        if (any_trip)
            trips += row_of(contender(id).title, trip);
        if (any_flow)
            flows += row_of(contender(id).title, flow);
        if (const Cell* cell = result.cell(id, BenchMode::open_loop, result.answer_sizes[0], placement))
            open += row_of(contender(id).title, {three(cell->from_send), three(cell->from_due)});
    }
    return fmt::format("<h2>All figures, {}</h2>\n", name_of(placement)) +
           table("Round trip, closed loop: p50 / p99 / p99.9 in µs", answer_head, trips) +
           table(fmt::format("Open loop, {:.0f} messages of {} a second: p50 / p99 / p99.9 in µs",
                             result.rate, size_text(result.answer_sizes[0])),
                 {"from the send", "from the intended send"}, open) +
           table("Throughput", flow_head, flows);
}

std::string aims_table(const BenchResult& result) {
    constexpr const char* words[] = {"met", "level", "not met", "unknown"};
    constexpr const char* classes[] = {"met", "level", "missed", "quiet"};
    std::string rows;
    for (const Aim& aim : aims_of(result))
        rows += fmt::format("<tr><td class=\"{}\">{}</td><td>{}</td><td>{}</td></tr>\n", classes[aim.verdict],
                            words[aim.verdict], escaped(aim.what), escaped(aim.seen));
    if (rows.empty())
        return {};
    return "<h2>Aims</h2>\n<p class=\"quiet\">Level: nearer to each other than the same program was to "
           "itself.</p><div class=\"wide\"><table class=\"words\"><tbody>\n" +
           rows + "</tbody></table></div>\n";
}

}  // namespace

std::string bench_svg(const BenchResult& result) {
    return svg_of(result, true);
}

std::string bench_html(const BenchResult& result) {
    const Chart chart(result);
    std::string page =
        fmt::format("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
                    "name=\"viewport\" content=\"width=device-width, "
                    "initial-scale=1\">\n<title>{0}</title>\n<style>{1}{2}</style>\n</head>\n<body "
                    "class=\"bench\">\n<h1>{0}</h1>\n<p class=\"quiet\">{3}</p>\n",
                    escaped(title(result)), style_sheet, page_style, escaped(summary(result)));
    for (const std::string& warning : warnings(result))
        page += fmt::format("<p class=\"warning\">{}</p>\n", escaped(warning));
    page += "<figure>\n" + svg_of(result, false) + "</figure>\n";
    page += table_of_characters(chart) + aims_table(result);
    for (const Placement placement : result.placements)
        page += tables_of(result, placement);
    page += "<h2>How it was measured</h2>\n<ul>\n";
    page += fmt::format("<li>{} rounds; in each, every mechanism has its turn of {:.0f} ms at every size, "
                        "after a warm-up, so that a disturbance hits all of them. "
                        "Client and server are pinned: {}.</li>\n",
                        result.rounds, result.seconds_each * 1000,
                        result.cpus.size() > 1 ? fmt::format("to the processors {} and {}, or both to {}",
                                                             result.cpus[0], result.cpus[1], result.cpus[0])
                                               : fmt::format("both to processor {}", result.cpus[0]));
    for (const std::string& caveat : caveats(result))
        page += fmt::format("<li>{}</li>\n", escaped(caveat));
    page += fmt::format(
        "<li>{}; the answer is sent when the whole question is there. docs/benchmark.md says more.</li>\n",
        result.mine ? "Made of the student's own labs" : "Made of the labs' reference solutions");
    for (const auto& [what, why] : result.left_out)
        page += fmt::format("<li>Left out: {}: {}</li>\n", escaped(what), escaped(why));
    return page + "</ul>\n</body>\n</html>\n";
}

}  // namespace course
