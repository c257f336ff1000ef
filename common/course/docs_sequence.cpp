// Sequence charts: participants side by side, time downwards.

#include "docs_chart.hpp"

#include "docs_text.hpp"
#include "failure.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <regex>
#include <vector>

namespace course::site {
namespace {

constexpr double line_height = 17, font_size = 13, box_padding = 10, widest_text = 200, margin = 8;

std::vector<std::string> wrapped_lines(const std::string& text, double width) {
    std::vector<std::string> lines;
    static const std::regex line_break("<br ?/?>");
    for (std::sregex_token_iterator part(text.begin(), text.end(), line_break, -1), end; part != end;
         ++part) {
        std::string line;
        std::istringstream words(*part);
        for (std::string word; words >> word;) {
            if (!line.empty() && text_width(line + " " + word) > width) {
                lines.push_back(line);
                line = word;
            } else {
                line += (line.empty() ? "" : " ") + word;
            }
        }
        lines.push_back(line);
    }
    return lines;
}

double widest(const std::vector<std::string>& lines);

// As few lines as `width` needs, but of about the same length.
std::vector<std::string> balanced_lines(const std::string& text, double width) {
    const std::vector<std::string> lines = wrapped_lines(text, width);
    if (lines.size() < 2)
        return lines;
    for (double narrower = width - 10; narrower > 60; narrower -= 10) {
        const std::vector<std::string> other = wrapped_lines(text, narrower);
        if (other.size() > lines.size() || widest(other) > narrower)
            return wrapped_lines(text, narrower + 10);
    }
    return lines;
}

double widest(const std::vector<std::string>& lines) {
    double width = 0;
    for (const std::string& line : lines)
        width = std::max(width, text_width(line));
    return width;
}

struct Participant {
    std::string id, name;
    std::vector<std::string> lines;
    double x = 0;
};

struct Step {
    enum Kind { message, note, frame, divider, end } kind;
    std::size_t from = 0, to = 0;  // for a note: the first and the last participant that it covers
    enum Side { over, left, right } side = over;
    std::string arrow, text;
    std::vector<std::string> lines;
};

std::string lines_svg(const std::vector<std::string>& lines, double x, double first_baseline,
                      std::string_view anchor, std::string_view style = "") {
    std::string svg;
    for (std::size_t i = 0; i < lines.size(); ++i)
        svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"{}\"{}{}{}>{}</text>", x,
                           first_baseline + static_cast<double>(i) * line_height, anchor,
                           style.empty() ? "" : " class=\"", style, style.empty() ? "" : "\"",
                           html_escaped(lines[i]));
    return svg;
}

class Sequence {
public:
    explicit Sequence(std::string_view chart) {
        for (const std::string& line : lines_of(chart))
            read(trimmed(line));
        place();
    }

    std::string svg();
    std::string words() const;

private:
    void read(const std::string& line);
    std::size_t participant(const std::string& id);
    void place();
    void widen(std::size_t from, std::size_t to, double least);

    std::vector<Participant> participants_;
    std::vector<Step> steps_;
    double left_ = 0, right_ = 0;
};

std::size_t Sequence::participant(const std::string& id) {
    const auto known = std::find_if(participants_.begin(), participants_.end(),
                                    [&](const Participant& p) { return p.id == id; });
    if (known != participants_.end())
        return static_cast<std::size_t>(known - participants_.begin());
    participants_.push_back({id, id, {}, 0});
    return participants_.size() - 1;
}

void Sequence::read(const std::string& line) {
    static const std::regex declared(R"((?:participant|actor) (\S+)(?: as (.+))?)");
    static const std::regex message(R"((\S+?)\s*(--?(?:>>|>|x|\)))([+-]?)\s*(\S+?)\s*:\s*(.*))");
    static const std::regex note(
        R"([Nn]ote (over|left of|right of) ([^:,]+?)\s*(?:,\s*([^:]+?)\s*)?:\s*(.*))");
    static const std::regex frame(R"((alt|loop|opt|par|critical|rect)\b\s*(.*))");
    static const std::regex divider(R"((else|and|option)\b\s*(.*))");
    static const std::regex without_picture(R"(sequenceDiagram|autonumber|(de)?activate .*|%%.*|)");
    std::smatch part;
    if (std::regex_match(line, without_picture))
        return;
    if (std::regex_match(line, part, declared)) {
        participants_[participant(part[1])].name = part[2].matched ? part[2].str() : part[1].str();
    } else if (std::regex_match(line, part, note)) {
        Step step{Step::note, participant(part[2]), 0, Step::over, "", part[4], {}};
        step.to = part[3].matched ? participant(part[3]) : step.from;
        if (step.from > step.to)
            std::swap(step.from, step.to);
        step.side = part[1] == "over" ? Step::over : part[1] == "left of" ? Step::left : Step::right;
        steps_.push_back(step);
    } else if (std::regex_match(line, part, frame)) {
        steps_.push_back({Step::frame, 0, 0, Step::over, part[1], part[2], {}});
    } else if (std::regex_match(line, part, divider)) {
        steps_.push_back({Step::divider, 0, 0, Step::over, part[1], part[2], {}});
    } else if (line == "end") {
        steps_.push_back({Step::end, 0, 0, Step::over, "", "", {}});
    } else if (std::regex_match(line, part, message)) {
        const std::size_t from = participant(part[1]);
        steps_.push_back({Step::message, from, participant(part[4]), Step::over, part[2], part[5], {}});
    } else {
        throw Failure(exit_code::usage,
                      fmt::format("a sequence chart has a line that the site cannot draw: {}", line));
    }
}

// Moves `to` and all behind it until there is room between `from` and `to`.
void Sequence::widen(std::size_t from, std::size_t to, double least) {
    const double missing = least - (participants_[to].x - participants_[from].x);
    for (std::size_t i = to; missing > 0 && i < participants_.size(); ++i)
        participants_[i].x += missing;
}

void Sequence::place() {
    double x = 0;
    for (Participant& each : participants_) {
        each.lines = wrapped_lines(each.name, 130);
        const double half = widest(each.lines) / 2 + box_padding;
        each.x = (&each == &participants_.front()) ? half : x + 14 + half;
        x = each.x + half;
    }
    for (Step& step : steps_) {
        const std::size_t first = std::min(step.from, step.to), last = std::max(step.from, step.to);
        if (step.kind == Step::message && first != last) {
            step.lines = balanced_lines(
                step.text, std::max(widest_text, participants_[last].x - participants_[first].x - 24));
            widen(first, last, widest(step.lines) + 28);
        } else if (step.kind == Step::message) {
            step.lines = balanced_lines(step.text, widest_text);
            if (first + 1 < participants_.size())
                widen(first, first + 1, widest(step.lines) + 60);
        } else if (step.kind == Step::note) {
            const double span = participants_[last].x - participants_[first].x;
            step.lines = balanced_lines(step.text, std::max(widest_text, span));
        } else if (step.kind == Step::frame || step.kind == Step::divider) {
            step.lines = {step.text};
        }
    }
    left_ = right_ = 0;
    const auto reach = [&](double from, double to) {
        left_ = std::min(left_, from);
        right_ = std::max(right_, to);
    };
    for (const Participant& each : participants_)
        reach(each.x - widest(each.lines) / 2 - box_padding, each.x + widest(each.lines) / 2 + box_padding);
    for (const Step& step : steps_) {
        const double width = widest(step.lines) + 2 * box_padding,
                     at = participants_.empty() ? 0 : participants_[step.from].x;
        if (step.kind == Step::message && step.from == step.to)
            reach(at, at + width + 36);
        else if (step.kind == Step::note && step.side == Step::left)
            reach(at - width - 8, at);
        else if (step.kind == Step::note && step.side == Step::right)
            reach(at, at + width + 8);
        else if (step.kind == Step::note)
            reach((at + participants_[step.to].x) / 2 - width / 2,
                  (at + participants_[step.to].x) / 2 + width / 2);
        else if (step.kind == Step::frame)
            reach(left_, left_ + width + text_width(step.arrow) + 40);
    }
    for (const Step& step : steps_)
        if (step.kind == Step::frame) {
            left_ -= 12;
            right_ += 12;
            break;
        }
}

std::string Sequence::svg() {
    double y = margin;
    std::string boxes, lines, marks;
    double box_height = 0;
    for (const Participant& each : participants_)
        box_height = std::max(box_height, static_cast<double>(each.lines.size()) * line_height + 12);
    for (const Participant& each : participants_) {
        const double width = widest(each.lines) + 2 * box_padding;
        boxes += fmt::format(
            "<rect class=\"who\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" rx=\"5\"/>",
            each.x - width / 2, y, width, box_height);
        const double text_height = static_cast<double>(each.lines.size()) * line_height;
        boxes += lines_svg(each.lines, each.x, y + (box_height - text_height) / 2 + 13, "middle", "name");
    }
    const double top = y + box_height;
    y = top + 12;

    struct Frame {
        double top;
        std::string kind;
    };
    std::vector<Frame> frames;
    const auto frame_left = [&] { return left_ + 4 * static_cast<double>(frames.size()); };
    for (const Step& step : steps_) {
        const double height = static_cast<double>(step.lines.size()) * line_height;
        if (step.kind == Step::message && step.from != step.to) {
            const double from = participants_[step.from].x, to = participants_[step.to].x,
                         way = to > from ? 1 : -1;
            marks += lines_svg(step.lines, (from + to) / 2, y + font_size, "middle");
            y += height + 6;
            const bool dashed = starts_with(step.arrow, "--"), lost = ends_with(step.arrow, "x"),
                       headless = ends_with(step.arrow, "->");
            const double tip = lost ? to - way * 8 : to - way * 2;
            marks += fmt::format(
                "<line class=\"arrow{}\" x1=\"{:.0f}\" y1=\"{:.0f}\" x2=\"{:.0f}\" y2=\"{:.0f}\"/>",
                dashed ? " dashed" : "", from, y, tip, y);
            if (lost)
                marks += fmt::format("<path class=\"arrow\" d=\"M{0:.0f} {1:.0f}l8 8m0 -8l-8 8\"/>", tip - 4,
                                     y - 4);
            else if (!headless)
                marks += fmt::format("<path class=\"head\" d=\"M{0:.0f} {1:.0f}l{2:.0f} -4.5v9z\"/>", tip, y,
                                     -way * 9);
            y += 12;
        } else if (step.kind == Step::message) {
            const double at = participants_[step.from].x;
            const double bottom = y + std::max(height, 20.0) + 2;
            marks += fmt::format("<path class=\"arrow{4}\" d=\"M{0:.0f} {1:.0f}h24V{2:.0f}h{3:.0f}\"/>", at,
                                 y + 4, bottom, -20.0, starts_with(step.arrow, "--") ? " dashed" : "");
            marks += fmt::format("<path class=\"head\" d=\"M{0:.0f} {1:.0f}l9 -4.5v9z\"/>", at + 2, bottom);
            marks += lines_svg(step.lines, at + 32, y + font_size + 1, "start");
            y = bottom + 14;
        } else if (step.kind == Step::note) {
            const double first = participants_[step.from].x, last = participants_[step.to].x;
            double width = widest(step.lines) + 2 * box_padding;
            if (step.from != step.to)
                width = std::max(width, last - first + 40);
            const double x = step.side == Step::left    ? first - width - 8
                             : step.side == Step::right ? first + 8
                                                        : (first + last) / 2 - width / 2;
            marks += fmt::format("<rect class=\"note\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" "
                                 "height=\"{:.0f}\" rx=\"3\"/>",
                                 x, y, width, height + 8);
            marks += lines_svg(step.lines, x + width / 2, y + font_size + 4, "middle", "in-note");
            y += height + 20;
        } else if (step.kind == Step::frame) {
            frames.push_back({y, step.arrow});
            marks += lines_svg({step.arrow}, frame_left() + 6, y + font_size + 2, "start", "name");
            marks += lines_svg(step.lines, frame_left() + 18 + text_width(step.arrow), y + font_size + 2,
                               "start", "aside");
            y += line_height + 12;
        } else if (step.kind == Step::divider) {
            marks += fmt::format(
                "<line class=\"frame dashed\" x1=\"{0:.0f}\" y1=\"{2:.0f}\" x2=\"{1:.0f}\" y2=\"{2:.0f}\"/>",
                frame_left(), right_ - 4 * static_cast<double>(frames.size()), y);
            marks += lines_svg({step.arrow}, frame_left() + 6, y + font_size + 5, "start", "name");
            marks += lines_svg(step.lines, frame_left() + 18 + text_width(step.arrow), y + font_size + 5,
                               "start", "aside");
            y += line_height + 14;
        } else {
            if (frames.empty())
                throw Failure(exit_code::usage, "a sequence chart has an 'end' with nothing to end");
            marks += fmt::format("<rect class=\"frame\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" "
                                 "height=\"{:.0f}\" rx=\"4\"/>",
                                 frame_left(), frames.back().top - 2,
                                 right_ - left_ - 8 * static_cast<double>(frames.size()),
                                 y - frames.back().top - 2);
            frames.pop_back();
            y += 8;
        }
    }
    for (const Participant& each : participants_)
        lines +=
            fmt::format("<line class=\"life\" x1=\"{0:.0f}\" y1=\"{1:.0f}\" x2=\"{0:.0f}\" y2=\"{2:.0f}\"/>",
                        each.x, top, y);
    const double width = right_ - left_ + 2 * margin, height = y + margin;
    return fmt::format("<svg style=\"--width:{1:.0f}px\" viewBox=\"{0:.0f} 0 {1:.0f} {2:.0f}\" "
                       "width=\"{1:.0f}\" height=\"{2:.0f}\" role=\"img\" "
                       "aria-label=\"{3}\">{4}{5}{6}</svg>",
                       left_ - margin, width, height, html_escaped(words()), lines, boxes, marks);
}

std::string Sequence::words() const {
    std::string text = "Sequence chart. ";
    static const std::regex line_break("<br ?/?>");
    for (const Step& step : steps_) {
        const std::string said = std::regex_replace(step.text, line_break, " ");
        if (step.kind == Step::message && step.from != step.to)
            text += fmt::format("{} to {}: {}. ", participants_[step.from].name, participants_[step.to].name,
                                said);
        else if (step.kind == Step::message)
            text += fmt::format("{}: {}. ", participants_[step.from].name, said);
        else if (step.kind == Step::note)
            text += fmt::format("Note at {}: {}. ", participants_[step.from].name, said);
        else if (step.kind != Step::end)
            text += fmt::format("{} {}: ", step.arrow, said);
    }
    return trimmed(text);
}

}  // namespace

double text_width(std::string_view text) {
    // Widths in thousandths of the font's size, near those of the sans-serif fonts that systems use.
    double width = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0) == 0x80)
            continue;
        if (byte >= 0xE3)
            width += 1000;  // Chinese characters fill a square
        else if (std::string_view("iljtfr.,:;'|!()[] ").find(c) != std::string_view::npos)
            width += 335;
        else if (std::string_view("mwMW@%").find(c) != std::string_view::npos)
            width += 890;
        else if (c >= 'A' && c <= 'Z')
            width += 690;
        else
            width += 575;
    }
    return width * font_size / 1000;
}

std::string sequence_svg(std::string_view chart, std::string& words) {
    Sequence sequence(chart);
    words = sequence.words();
    return sequence.svg();
}

}  // namespace course::site
