#pragma once

/// @file
/// Text for a terminal: colours where they are wanted, and nothing in it that the terminal would obey.

#include <string>
#include <string_view>

namespace course {

/// Colours, or empty strings if there is to be no colour.
struct Style {
    std::string_view good, bad, dim, bold, off;
};

/// Colours if `descriptor` is a terminal that has them and NO_COLOR is not set (https://no-color.org).
Style style_for(int descriptor);

/// `text` with everything made visible that a terminal would act upon (escape sequences, bells, bidirectional
/// controls) or that is not UTF-8. Line ends stay.
std::string visible(std::string_view text);

/// How many columns `text` takes, counting a code point as one.
std::size_t columns(std::string_view text);

/// `text` and spaces up to `width` columns.
std::string padded(std::string_view text, std::size_t width);

/// Breaks `text` at spaces so that no line is longer than `width`; lines after the first are indented by
/// `indent`. Words longer than that stay whole, so that paths and commands can be copied.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent);

/// The terminal's width, or 100 where there is none.
std::size_t terminal_width();

/// The terminal's lines, or 0 where there is none.
std::size_t terminal_height();

/// Whether the terminal is too narrow for columns: then one field a line reads better.
bool is_narrow();

/// `LABEL      text`, all of the text behind the label; on a narrow terminal below it.
/// @param indent  blanks before the label
/// @param room    columns that the label takes
std::string labelled(std::string_view label, std::string_view text, std::size_t indent, std::size_t room, const Style& style);

/// A line that says what is going on, on a terminal only; it is wiped when the object goes.
class PassingLine {
public:
    explicit PassingLine(std::string_view text);
    ~PassingLine();
    PassingLine(const PassingLine&) = delete;
    PassingLine& operator=(const PassingLine&) = delete;

private:
    bool shown_;
};

}  // namespace course
