// A chart for the terminal, and as SVG.

#include "terminal.hpp"
#include "trace_chart.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace course {
namespace {

constexpr std::size_t time_width = 10;  ///< "  1234.5 ms" without the unit
constexpr std::size_t narrowest_column = 26;

/// A line of a terminal, cell by cell.
class Line {
public:
    explicit Line(std::size_t width) : cells_(width, " ") {}

    void put(std::size_t at, const std::string& cell, std::string_view colour = {}, std::string_view off = {}) {
        if (at < cells_.size())
            cells_[at] = std::string(colour) + cell + std::string(off);
    }
    // Code points, one a cell; what does not fit is left out.
    void write(std::size_t at, std::string_view text, std::string_view colour = {}, std::string_view off = {}) {
        for (std::size_t i = 0; i < text.size(); ++at) {
            std::size_t length = 1;
            while (i + length < text.size() && (static_cast<unsigned char>(text[i + length]) & 0xC0) == 0x80)
                ++length;
            put(at, std::string(text.substr(i, length)), colour, off);
            i += length;
        }
    }
    std::string text() const {
        std::string all;
        for (const std::string& cell : cells_)
            all += cell;
        all.erase(all.find_last_not_of(' ') + 1);
        return all + "\n";
    }

private:
    std::vector<std::string> cells_;
};

// `text` in pieces of at most `width` columns, broken at blanks.
std::vector<std::string> pieces(const std::string& text, std::size_t width) {
    std::vector<std::string> lines;
    const std::string broken = wrapped(text, width, 0);
    for (std::size_t from = 0; from <= broken.size();) {
        const std::size_t end = std::min(broken.find('\n', from), broken.size());
        lines.push_back(broken.substr(from, end - from));
        from = end + 1;
    }
    return lines;
}

// One line a row: for a terminal that has no room for columns.
std::string list_text(const Chart& chart, std::size_t width, const Style& style) {
    std::string all;
    for (const ChartRow& row : chart.rows) {
        std::string line = fmt::format("{:8.1f}  {} ({}) {}", row.at, chart.lanes[row.lane].name, chart.lanes[row.lane].id, row.text);
        if (row.arrow_from >= 0)
            line += fmt::format(", by {}", chart.lanes[static_cast<std::size_t>(row.arrow_from)].name);
        all += fmt::format("{}{}{}\n", row.bad || row.blocked ? style.bad : "", wrapped(visible(line), width, time_width), row.bad || row.blocked ? style.off : "");
    }
    return all;
}

std::string escaped(std::string_view text) {
    std::string all;
    for (const char c : text)
        all += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
    return all;
}

}  // namespace

std::string chart_text(const Chart& chart, std::size_t width, bool colours) {
    const Style style = colours ? Style{"\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"} : Style{};
    const std::size_t count = std::max<std::size_t>(chart.lanes.size(), 1);
    const std::size_t column = std::min<std::size_t>((width - std::min(width, time_width)) / count, 56);
    std::string all;
    if (column < narrowest_column)
        all = list_text(chart, width, style);
    else {
        const auto line_at = [&](std::size_t lane) { return time_width + lane * column; };
        const auto room = [&](std::size_t lane) { return (lane + 1 == count ? width : line_at(lane + 1)) - line_at(lane) - 3; };
        Line head(width), ids(width);
        ids.write(0, "      ms", style.dim, style.off);
        for (std::size_t lane = 0; lane < chart.lanes.size(); ++lane) {
            head.write(line_at(lane), pieces(visible(chart.lanes[lane].name), room(lane))[0], style.bold, style.off);
            ids.write(line_at(lane), std::to_string(chart.lanes[lane].id), style.dim, style.off);
        }
        all = head.text() + ids.text();
        std::vector<bool> blocked(chart.lanes.size(), false);
        const auto blank = [&](double at) {
            Line line(width);
            for (std::size_t lane = 0; lane < chart.lanes.size(); ++lane)
                if (at >= chart.lanes[lane].from && at <= chart.lanes[lane].to + 0.001)
                    line.put(line_at(lane), blocked[lane] ? "┃" : "│", blocked[lane] ? style.bad : style.dim, style.off);
            return line;
        };
        for (const ChartRow& row : chart.rows) {
            Line line = blank(row.at);
            line.write(0, fmt::format("{:8.1f}", row.at), style.dim, style.off);
            const std::size_t x = line_at(row.lane);
            if (row.arrow_from >= 0) {
                const std::size_t from = line_at(static_cast<std::size_t>(row.arrow_from));
                const bool right = from < x;
                for (std::size_t at = std::min(from, x) + 1; at < std::max(from, x); ++at)
                    line.put(at, "─", style.good, style.off);
                line.put(from, right ? "├" : "┤", style.good, style.off);
                line.put(right ? x - 1 : x + 1, right ? "►" : "◄", style.good, style.off);
                if (!right) {
                    all += line.text();
                    blocked[row.lane] = false;
                    line = blank(row.at);
                }
            }
            blocked[row.lane] = row.blocked;
            line.put(x, row.blocked ? "┳" : "●", row.bad || row.blocked ? style.bad : style.good, style.off);
            bool first = true;
            for (const std::string& piece : pieces(visible(row.text), room(row.lane))) {
                if (!first)
                    line = blank(row.at);
                line.write(x + 2, piece, row.bad || row.blocked ? style.bad : std::string_view(), style.off);
                all += line.text();
                first = false;
            }
        }
    }
    for (const std::string& words : chart.legend)
        all += fmt::format("{}{}{}\n", style.dim, wrapped(visible(words), width, 2), style.off);
    return all;
}

std::string chart_svg(const Chart& chart, const std::string& title) {
    constexpr int row_height = 24, top = 74, time = 74, column = 310;
    const int width = time + column * static_cast<int>(std::max<std::size_t>(chart.lanes.size(), 1)) + 110;
    const int bottom = top + row_height * (static_cast<int>(chart.rows.size()) + 1);
    const int height = bottom + 20 * static_cast<int>(chart.legend.size()) + 16;
    const auto x_of = [&](std::size_t lane) { return time + 14 + column * static_cast<int>(lane); };
    const auto y_of = [&](std::size_t row) { return top + row_height * static_cast<int>(row + 1); };
    std::string svg = fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-labelledby="t d">
<title id="t">{2}</title>
<desc id="d">A sequence chart: one column a process, time downwards; a thick red line is a process that waits, an arrow leads from who did something to who saw it.</desc>
<style>
.page {{ fill: #ffffff }} text {{ font: 13px ui-monospace, "DejaVu Sans Mono", monospace; fill: #1f2328 }}
.name {{ font-weight: bold }} .dim {{ fill: #59636e }} .bad {{ fill: #b3261e }}
.life {{ stroke: #8c959f; stroke-width: 1.5 }} .waits {{ stroke: #c62828; stroke-width: 5 }}
.arrow {{ stroke: #1a7f37; stroke-width: 1.5; marker-end: url(#head) }} .head {{ fill: #1a7f37 }} .dot {{ fill: #1a7f37 }} .dot.bad {{ fill: #c62828 }}
@media (prefers-color-scheme: dark) {{
.page {{ fill: #0d1117 }} text {{ fill: #e6edf3 }} .dim {{ fill: #9198a1 }} .bad {{ fill: #ff8a80 }}
.life {{ stroke: #6e7681 }} .waits {{ stroke: #f85149 }} .arrow {{ stroke: #3fb950 }} .head, .dot {{ fill: #3fb950 }} .dot.bad {{ fill: #f85149 }} }}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>
<rect class="page" width="100%" height="100%"/>
<text x="12" y="24" class="name">{2}</text>
<text x="{3}" y="{4}" class="dim" text-anchor="end">ms</text>
)", width, height, escaped(title), time - 12, top - 8);
    // A lane lives from its first row to its last.
    for (std::size_t lane = 0; lane < chart.lanes.size(); ++lane) {
        int from = 0, to = 0, waits_from = 0;
        std::string waits;
        for (std::size_t i = 0; i < chart.rows.size(); ++i) {
            if (chart.rows[i].arrow_from == static_cast<int>(lane))
                to = y_of(i);  // what it did is seen later than it ended
            if (chart.rows[i].lane != lane)
                continue;
            if (waits_from)
                waits += fmt::format("<line class=\"waits\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>\n", x_of(lane), waits_from, y_of(i));
            waits_from = chart.rows[i].blocked ? y_of(i) : 0;
            from = from ? from : y_of(i);
            to = y_of(i);
        }
        svg += fmt::format("<text x=\"{0}\" y=\"{1}\" class=\"name\">{2}</text><text x=\"{0}\" y=\"{3}\" class=\"dim\">{4}</text>\n", x_of(lane), top - 22,
                           escaped(visible(chart.lanes[lane].name)), top - 6, chart.lanes[lane].id);
        if (from)
            svg += fmt::format("<line class=\"life\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>\n{3}", x_of(lane), from - 8, to + 8, waits);
    }
    for (std::size_t i = 0; i < chart.rows.size(); ++i) {
        const ChartRow& row = chart.rows[i];
        const int x = x_of(row.lane), y = y_of(i);
        svg += fmt::format("<text x=\"{}\" y=\"{}\" class=\"dim\" text-anchor=\"end\">{:.1f}</text>", time - 12, y + 4, row.at);
        if (row.arrow_from >= 0) {
            // Two pixels higher than the words, and short of the dot.
            const int from = x_of(static_cast<std::size_t>(row.arrow_from));
            svg += fmt::format("<line class=\"arrow\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", from, from < x ? x - 5 : x + 5, y - (from < x ? 0 : 11), y - (from < x ? 0 : 11));
        }
        svg += fmt::format("<circle class=\"dot{}\" cx=\"{}\" cy=\"{}\" r=\"3.5\"/>", row.bad || row.blocked ? " bad" : "", x, y);
        svg += fmt::format("<text x=\"{}\" y=\"{}\"{}>{}</text>\n", x + 12, y + 4, row.bad || row.blocked ? " class=\"bad\"" : "", escaped(visible(row.text)));
    }
    for (std::size_t i = 0; i < chart.legend.size(); ++i)
        svg += fmt::format("<text x=\"12\" y=\"{}\" class=\"dim\">{}</text>\n", bottom + 16 + 20 * static_cast<int>(i), escaped(visible(chart.legend[i])));
    return svg + "</svg>\n";
}

}  // namespace course
