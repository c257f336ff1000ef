#pragma once

/// @file
/// Reports that a person wants to read: tables in a terminal, and a percentile chart as SVG. Given.

#include "monitoring.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace monitoring::report {

/// printf into a string; for numbers and short words.
template <class... Values>
std::string text(const char* format, Values... values) {
    char line[256];
    const int size = std::snprintf(line, sizeof line, format, values...);
    return std::string(line, static_cast<std::size_t>(std::clamp(size, 0, static_cast<int>(sizeof line) - 1)));
}

/// Columns as wide as what stands in them, the first one left-aligned, the others right-aligned.
class Table {
public:
    explicit Table(std::vector<std::string> head) { add(std::move(head)); }
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    std::string str() const {
        std::vector<std::size_t> widths;
        for (const auto& row : rows_)
            for (std::size_t i = 0; i < row.size(); ++i) {
                widths.resize(std::max(widths.size(), i + 1));
                widths[i] = std::max(widths[i], row[i].size());
            }
        std::string all;
        for (const auto& row : rows_) {
            for (std::size_t i = 0; i < row.size(); ++i) {
                const std::string space(widths[i] - row[i].size(), ' ');
                all += i == 0 ? row[i] + space : "  " + space + row[i];
            }
            all += '\n';
        }
        return all;
    }

private:
    std::vector<std::vector<std::string>> rows_;
};

inline constexpr unsigned told_per_mille[] = {500, 900, 990, 999};

/// min, the percentiles that are told, max; each made a text by `shown`.
template <class Shown>
std::vector<std::string> percentiles(const Histogram& values, const Shown& shown) {
    std::vector<std::string> cells{shown(values.min())};
    for (const unsigned per_mille : told_per_mille)
        cells.push_back(shown(values.value_at(per_mille)));
    cells.push_back(shown(values.max()));
    return cells;
}

inline std::vector<std::string> percentile_names() { return {"min", "p50", "p90", "p99", "p99.9", "max"}; }

// ---- the chart ------------------------------------------------------------------------------------------------------

struct Curve {
    std::string name;
    const Histogram* values;
};

/// A decimal number with a unit of time that suits it, from `nanoseconds`.
inline std::string duration(double nanoseconds) {
    static constexpr struct {
        double size;
        const char* name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    for (const auto& unit : units)
        if (nanoseconds >= unit.size)
            return text("%.3g %s", nanoseconds / unit.size, unit.name);
    return "0";
}

inline std::string escaped(const std::string& words) {
    std::string safe;
    for (const char c : words)
        safe += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
    return safe;
}

/// How long the slower ones take: to the right each grid line is ten times rarer, upwards ten times slower.
///
/// @param shown  how a value is written beside the axis
template <class Shown>
std::string chart(const std::string& title, const std::vector<Curve>& curves, const Shown& shown) {
    constexpr double left = 90, right = 700, top = 60, bottom = 340;
    double low = 1e300, high = 1;
    for (const Curve& curve : curves) {
        low = std::min(low, static_cast<double>(std::max<std::uint64_t>(curve.values->min(), 1)));
        high = std::max(high, static_cast<double>(curve.values->value_at(999)));
    }
    const double first = std::floor(std::log10(low)), last = std::max(first + 1, std::ceil(std::log10(high)));
    const auto x = [&](double rarity) { return left + (right - left) * rarity / 3; };
    const auto y = [&](double value) {
        return bottom - (bottom - top) * (std::log10(std::max(value, 1.0)) - first) / (last - first);
    };

    std::string svg = text("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 %zu\" ", 380 + 20 * curves.size()) +
                      R"(font-family="system-ui, sans-serif" font-size="13">
<style>
  svg { background: #fff; } text { fill: #1b1f24; } .grid { stroke: #d5dae0; } path { fill: none; stroke-width: 2.5; }
  .c0 path { stroke: #0b62c4; } .c1 path { stroke: #c2410c; } .c2 path { stroke: #15803d; } .c3 path { stroke: #7e22ce; }
  .c0 rect { fill: #0b62c4; } .c1 rect { fill: #c2410c; } .c2 rect { fill: #15803d; } .c3 rect { fill: #7e22ce; }
  @media (prefers-color-scheme: dark) {
    svg { background: #14171c; } text { fill: #e6e9ee; } .grid { stroke: #3a414b; }
    .c0 path { stroke: #6db3ff; } .c1 path { stroke: #ff9a62; } .c2 path { stroke: #5fd08a; } .c3 path { stroke: #c99bff; }
    .c0 rect { fill: #6db3ff; } .c1 rect { fill: #ff9a62; } .c2 rect { fill: #5fd08a; } .c3 rect { fill: #c99bff; }
  }
</style>
)";
    svg += text("<text x=\"%.0f\" y=\"28\" font-size=\"17\">", left) + escaped(title) + "</text>\n";
    for (double decade = first; decade <= last; ++decade) {
        const double value = std::pow(10, decade), height = y(value);
        svg += text("<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", left, right, height, height) +
               text("<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", left - 8, height + 4) + escaped(shown(value)) + "</text>\n";
    }
    const std::pair<double, const char*> marks[] = {{0, "fastest"}, {std::log10(2.0), "p50"}, {1, "p90"}, {2, "p99"}, {3, "p99.9"}};
    for (const auto& [nines, name] : marks) {
        const double at = x(nines);
        svg += text("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>", at, at, top, bottom) +
               text("<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n", at, bottom + 20, name);
    }
    for (std::size_t i = 0; i < curves.size(); ++i) {
        std::string path;
        for (unsigned per_mille = 1; per_mille <= 999; ++per_mille)
            path += text("%c%.1f %.1f", path.empty() ? 'M' : 'L', x(-std::log10(1 - per_mille / 1000.0)),
                         y(static_cast<double>(curves[i].values->value_at(per_mille))));
        const double line = bottom + 46 + 20 * static_cast<double>(i);
        svg += text("<g class=\"c%zu\"><path d=\"", i % 4) + path + "\"/>" +
               text("<rect x=\"%.0f\" y=\"%.0f\" width=\"18\" height=\"4\"/></g>", left, line - 6) +
               text("<text x=\"%.0f\" y=\"%.0f\">", left + 26, line) + escaped(curves[i].name) + "</text>\n";
    }
    return svg + "</svg>\n";
}

}  // namespace monitoring::report
