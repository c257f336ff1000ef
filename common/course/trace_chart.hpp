#pragma once

/// @file
/// A sequence chart of what processes did with each other, made of their traced calls.

#include "trace_calls.hpp"
#include <string>
#include <vector>

namespace course {

/// One process (or thread) of the chart, a column.
struct ChartLane {
    std::string name;    ///< "lab-02 write"
    int id = 0;          ///< process id
    double from = 0, to = 0;  ///< milliseconds since the chart's beginning
};

/// One line of the chart.
struct ChartRow {
    double at = 0;  ///< milliseconds since the chart's beginning
    std::size_t lane = 0;
    std::string text;
    int arrow_from = -1;  ///< the lane whose doing this is the effect of; -1: none
    bool blocked = false; ///< from here on the lane waits, until its next row
    bool bad = false;     ///< an error or a death
};

struct Chart {
    std::vector<ChartLane> lanes;
    std::vector<ChartRow> rows;       ///< by time
    std::vector<std::string> legend;  ///< what the short names stand for
    bool ended_by_us = false;         ///< whoever still waited was interrupted
};

/// What a chart needs to know besides the calls.
struct ChartRequest {
    std::vector<std::vector<std::string>> programs;  ///< as started: "lab-02", "write", ...
    std::string directory;                           ///< where they ran: paths in it are shown without it
    std::string files;  ///< prefix of the files that are their standard streams: PREFIX-N.in, .out, .err
};

/// Draws up the chart: what concerns only one process (libraries, memory, files of the system) is left out.
Chart chart_of(const std::vector<TracedThread>& threads, const ChartRequest& request);

/// The chart for a terminal `width` columns wide.
std::string chart_text(const Chart& chart, std::size_t width, bool colours);

/// The chart as an SVG picture that follows the reader's light or dark theme.
std::string chart_svg(const Chart& chart, const std::string& title);

}  // namespace course
