#include "markdown.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <utility>

namespace course {
namespace {

struct Heading {
    std::size_t level = 0;
    std::string words, anchor;
};

// "## End of file {#end-of-file}"
std::optional<Heading> heading_in(const std::string& line) {
    Heading heading;
    heading.level = line.find_first_not_of('#');
    if (heading.level == 0 || heading.level == std::string::npos || heading.level > 6 || line[heading.level] != ' ')
        return std::nullopt;
    heading.words = line.substr(heading.level + 1);
    if (const std::size_t open = heading.words.find("{#"); open != std::string::npos) {
        heading.anchor = heading.words.substr(open + 2, heading.words.find('}', open) - open - 2);
        heading.words.erase(heading.words.find_last_not_of(' ', open - 1) + 1);
        return heading;
    }
    for (const char c : heading.words) {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_')
            heading.anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        else if (c == ' ')
            heading.anchor += '-';
    }
    return heading;
}

bool is_fence(const std::string& line) { return line.compare(0, std::min<std::size_t>(line.size(), line.find_first_not_of(' ')), "") == 0 && line.find("```") == line.find_first_not_of(' ') && !line.empty(); }

// Inline marks: **bold**, `code`, [words](target).
std::string inline_text(const std::string& source, const Style& style) {
    std::string text;
    bool bold = false, code = false;
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '`') {
            code = !code;
            text += style.off.empty() ? "`" : code ? style.bold : style.off;
        } else if (!code && source.compare(i, 2, "**") == 0) {
            bold = !bold;
            text += bold ? style.bold : style.off;
            ++i;
        } else if (!code && source[i] == '[') {
            const std::size_t close = source.find("](", i), end = source.find(')', close == std::string::npos ? i : close);
            if (close == std::string::npos || end == std::string::npos || source.find(']', i) != close) {
                text += '[';
                continue;
            }
            const std::string words = source.substr(i + 1, close - i - 1), target = source.substr(close + 2, end - close - 2);
            text += inline_text(words, style);
            if (target[0] != '#' && target != words)
                text += " (" + target + ")";
            i = end;
        } else
            text += source[i];
    }
    return text;
}

// Wraps by what is seen: escape sequences take no room.
std::string wrapped_inline(const std::string& text, std::size_t width, std::size_t indent) {
    std::string all;
    std::size_t used = 0;
    bool first = true;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        std::size_t length = 0;
        for (std::size_t i = 0; i < word.size(); ++i) {
            if (word[i] == '\x1b') {
                i = word.find('m', i);
                if (i == std::string::npos)
                    break;
            } else
                length += (static_cast<unsigned char>(word[i]) & 0xC0) != 0x80;
        }
        if (!first && used + 1 + length > width) {
            all += "\n" + std::string(indent, ' ');
            used = indent;
        } else if (!first) {
            all += ' ';
            ++used;
        }
        all += word;
        used += length;
        first = false;
    }
    return all;
}

// What is seen of it: escape sequences take no room.
std::size_t seen(const std::string& text) {
    std::size_t length = columns(text);
    for (std::size_t at = 0; (at = text.find('\x1b', at)) != std::string::npos;) {
        const std::size_t end = text.find('m', at);
        if (end == std::string::npos)
            break;
        length -= end + 1 - at;
        at = end;
    }
    return length;
}

using Table = std::vector<std::vector<std::string>>;

// "| a | `x \| y` |" → a, `x | y`
std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells(1);
    for (std::size_t i = line.find('|') + 1; i < line.size(); ++i) {
        if (line.compare(i, 2, "\\|") == 0)
            cells.back() += line[++i];
        else if (line[i] == '|')
            cells.emplace_back();
        else
            cells.back() += line[i];
    }
    if (cells.back().find_first_not_of(' ') == std::string::npos)
        cells.pop_back();
    for (std::string& cell : cells) {
        cell.erase(0, std::min(cell.find_first_not_of(' '), cell.size()));
        cell.erase(cell.find_last_not_of(' ') + 1);
    }
    return cells;
}

bool is_rule(const std::vector<std::string>& row) {
    return !row.empty() && std::all_of(row.begin(), row.end(), [](const std::string& cell) { return !cell.empty() && cell.find_first_not_of("-:") == std::string::npos; });
}

// In columns where they fit, and else one field a line below the first one.
std::string table_text(const Table& source, std::size_t width, const Style& style) {
    Table table;
    for (const std::vector<std::string>& row : source)
        if (!is_rule(row)) {
            table.emplace_back();
            for (const std::string& cell : row)
                table.back().push_back(inline_text(visible(cell), style));
        }
    if (table.empty())
        return {};
    std::vector<std::size_t> widths(table[0].size());
    for (std::vector<std::string>& row : table) {
        row.resize(widths.size());
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], seen(row[i]));
    }
    std::size_t all_columns = 0;
    for (const std::size_t each : widths)
        all_columns += each + 3;
    std::string all;
    if (all_columns <= width) {
        for (std::size_t i = 0; i < table.size(); ++i) {
            std::string line;
            for (std::size_t j = 0; j < widths.size(); ++j)
                line += (i == 0 ? std::string(style.dim) : "") + table[i][j] + (i == 0 ? std::string(style.off) : "") +
                        (j + 1 < widths.size() ? std::string(widths[j] - seen(table[i][j]) + 3, ' ') : "");
            all += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
        }
        return all;
    }
    for (std::size_t i = 1; i < table.size(); ++i) {
        all += wrapped_inline(table[i][0], width, 0) + "\n";
        for (std::size_t j = 1; j < widths.size(); ++j)
            if (!table[i][j].empty())
                all += "  " + wrapped_inline((table[0][j].empty() || widths.size() == 2 ? "" : table[0][j] + ": ") + table[i][j], width - 2, 4) + "\n";
    }
    return all;
}

}  // namespace

std::vector<std::string> markdown_anchors(const std::string& source) {
    std::vector<std::string> anchors;
    std::istringstream lines(source);
    bool code = false;
    for (std::string line; std::getline(lines, line);) {
        if (is_fence(line))
            code = !code;
        else if (const auto heading = heading_in(line); heading && !code)
            anchors.push_back(heading->anchor);
    }
    return anchors;
}

std::optional<std::string> markdown_section(const std::string& source, const std::string& anchor) {
    std::istringstream lines(source);
    std::string part;
    std::size_t level = 0;
    bool code = false;
    for (std::string line; std::getline(lines, line);) {
        if (is_fence(line))
            code = !code;
        const auto heading = code ? std::nullopt : heading_in(line);
        if (heading && level != 0 && heading->level <= level)
            return part;
        if (heading && heading->anchor == anchor && level == 0)
            level = heading->level;
        if (level != 0)
            part += line + "\n";
    }
    if (level == 0)
        return std::nullopt;
    return part;
}

std::string markdown_text(const std::string& source, std::size_t width, const Style& style) {
    std::istringstream lines(source);
    std::string all, paragraph;
    std::size_t indent = 0;
    Table table;
    const auto flush = [&] {
        if (!paragraph.empty())
            all += wrapped_inline(inline_text(visible(paragraph), style), width, indent) + "\n";
        paragraph.clear();
        indent = 0;
    };
    bool code = false, comment = false;
    for (std::string line; std::getline(lines, line);) {
        if (!table.empty() && (line.empty() || line[0] != '|'))
            all += table_text(std::exchange(table, {}), width, style);
        if (!code && !comment && line.starts_with("<!--"))
            comment = true;
        if (comment) {
            comment = line.find("-->") == std::string::npos;
            continue;
        }
        if (is_fence(line)) {
            flush();
            code = !code;
            continue;
        }
        if (code) {
            all += "    " + std::string(style.dim) + visible(line) + std::string(style.off) + "\n";
            continue;
        }
        if (const auto heading = heading_in(line)) {
            flush();
            const std::string words = inline_text(visible(heading->words), Style{});
            all += std::string(style.bold) + words + std::string(style.off) + "\n";
            if (heading->level <= 2)
                all += std::string(columns(words), heading->level == 1 ? '=' : '-') + "\n";
            continue;
        }
        const std::size_t start = line.find_first_not_of(' ');
        if (start == std::string::npos) {
            flush();
            all += "\n";
            continue;
        }
        const bool bullet = line.compare(start, 2, "- ") == 0 || line.compare(start, 2, "* ") == 0;
        const std::size_t digits = line.find_first_not_of("0123456789", start);
        const bool number = digits != std::string::npos && digits > start && line.compare(digits, 2, ". ") == 0;
        if (line[start] == '|') {
            flush();
            table.push_back(cells_of(line));
            continue;
        }
        if (bullet || number || line[start] == '>') {
            flush();
            indent = bullet || line[start] == '>' ? start + 2 : digits + 2;
            paragraph = line;
            if (start > 0) {
                all += std::string(start, ' ');
            }
            continue;
        }
        paragraph += (paragraph.empty() ? "" : " ") + line.substr(start);
    }
    flush();
    return all + table_text(table, width, style);
}

}  // namespace course
