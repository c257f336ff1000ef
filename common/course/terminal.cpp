#include "terminal.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace course {
namespace {

// The length of the well-formed UTF-8 sequence that `text` begins with, and its code point; 0 if it is none.
std::size_t decode(std::string_view text, std::uint32_t& point) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    if (length == 0 || length > text.size())
        return 0;
    point = length == 1 ? lead : lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (byte(i) & 0x3fu);
    }
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    const bool surrogate = point >= 0xd800 && point < 0xe000;
    return overlong || surrogate || point > 0x10ffff ? 0 : length;
}

bool obeyed_by_terminals(std::uint32_t point) {
    return (point < 0x20 && point != '\n') || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

}  // namespace

Style style_for(int descriptor) {
    const char* no_color = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    const bool wanted = !(no_color && *no_color) && !(terminal && std::string_view(terminal) == "dumb");
    if (wanted && ::isatty(descriptor))
        return {"\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"};
    return {};
}

std::string visible(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        std::uint32_t point = 0;
        const std::size_t length = decode(text, point);
        if (length == 0)
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
        else if (point == '\t')
            result += "    ";
        else if (point == '\r')
            result += "\\r";
        else if (obeyed_by_terminals(point))
            result += point < 0x80 ? fmt::format("\\x{:02x}", point) : fmt::format("\\u{:04x}", point);
        else
            result += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return result;
}

std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string padded(std::string_view text, std::size_t width) {
    const std::size_t taken = columns(text);
    return std::string(text) + std::string(taken < width ? width - taken : 0, ' ');
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
    const std::size_t room = width > indent + 20 ? width - indent : 20;
    std::string result;
    std::size_t used = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
        const std::string_view word = text.substr(0, end);
        if (used > 0 && used + 1 + columns(word) > room) {
            result += "\n" + std::string(indent, ' ');
            used = 0;
        } else if (used > 0) {
            result += ' ';
            ++used;
        }
        result += word;
        used += columns(word);
        const bool line_end = end < text.size() && text[end] == '\n';
        if (line_end) {
            result += "\n" + std::string(indent, ' ');
            used = 0;
        }
        text.remove_prefix(std::min(end + 1, text.size()));
        // Spaces that someone aligned with (a quoted source line) are kept.
        while (!text.empty() && text[0] == ' ') {
            result += ' ';
            ++used;
            text.remove_prefix(1);
        }
    }
    return result;
}

std::size_t terminal_width() {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return std::min<std::size_t>(size.ws_col, 120);
    // No terminal, but perhaps somebody who knows how wide the text will be shown.
    const char* columns = std::getenv("COLUMNS");
    if (const int wanted = columns ? std::atoi(columns) : 0; wanted >= 20)
        return std::min<std::size_t>(static_cast<std::size_t>(wanted), 120);
    return 100;
}

std::size_t terminal_height() {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

bool is_narrow() {
    return terminal_width() < 72;
}

std::string labelled(std::string_view label, std::string_view text, std::size_t indent, std::size_t room, const Style& style) {
    const std::string blanks(indent, ' ');
    if (!is_narrow())
        return fmt::format("{}{}{}{}{}\n", blanks, style.dim, padded(label, room), style.off, wrapped(text, terminal_width(), indent + room));
    std::string lines = wrapped(text, terminal_width(), indent + 2);
    lines.erase(0, lines.find_first_not_of('\n'));
    lines.erase(0, lines.find_first_not_of(' '));
    const std::string above = label.empty() ? "" : fmt::format("{}{}{}{}\n", blanks, style.dim, label, style.off);
    return fmt::format("{}{}  {}\n", above, blanks, lines);
}

PassingLine::PassingLine(std::string_view text) : shown_(::isatty(STDERR_FILENO)) {
    if (shown_)
        fmt::print(stderr, "\r{}", text);
    if (shown_)
        std::fflush(stderr);
}

PassingLine::~PassingLine() {
    if (shown_)
        std::fputs("\r\x1b[K", stderr);
}

}  // namespace course
