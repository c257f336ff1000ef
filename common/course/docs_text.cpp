#include "docs_text.hpp"

#include <cctype>
#include <sstream>

namespace course::site {

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    std::istringstream stream{std::string(text)};
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

std::string trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos)
        return {};
    return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

bool starts_with(std::string_view text, std::string_view beginning) {
    return text.substr(0, beginning.size()) == beginning;
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::string html_escaped(std::string_view text) {
    std::string html;
    for (const char c : text) {
        switch (c) {
        case '&':
            html += "&amp;";
            break;
        case '<':
            html += "&lt;";
            break;
        case '>':
            html += "&gt;";
            break;
        case '"':
            html += "&quot;";
            break;
        default:
            html += c;
        }
    }
    return html;
}

std::string html_text(std::string_view html) {
    std::string text;
    bool in_tag = false;
    for (const char c : html) {
        if (c == '<')
            in_tag = true;
        else if (c == '>' && in_tag)
            in_tag = false;
        else if (!in_tag)
            text += c;
    }
    for (const auto& [entity, meaning] : {std::pair{"&lt;", "<"},
                                          {"&gt;", ">"},
                                          {"&quot;", "\""},
                                          {"&#39;", "'"},
                                          {"&#92;", "\\"},
                                          {"&#64;", "@"},
                                          {"&#36;", "$"},
                                          {"&nbsp;", " "},
                                          {"&#160;", " "},
                                          {"&amp;", "&"}})
        text = replaced(std::move(text), entity, meaning);
    return text;
}

std::string raw_html(std::string_view html) {
    // A dollar is one of its marks, too: $(cmd) would be taken for a variable, and vanish.
    return replaced(replaced(replaced(std::string(html), "\\", "&#92;"), "@", "&#64;"), "$", "&#36;");
}

std::string doxygen_escaped(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (std::string_view("\\@&$#<>%\"*_`[]").find(c) != std::string_view::npos)
            escaped += '\\';
        escaped += c;
    }
    return escaped;
}

std::string slug_of(std::string_view heading) {
    std::string slug;
    for (const char c : heading) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) || c == '-' || c == '_' || byte >= 0x80)
            slug += static_cast<char>(byte < 0x80 ? std::tolower(byte) : byte);
        else if (c == ' ')
            slug += '-';
    }
    // Of the characters beyond ASCII the only ones in our headings are dashes and quotation marks, which
    // GitHub drops.
    for (const std::string_view mark : {"–", "—", "‘", "’", "“", "”", "…", "、", "，", "。", "·"})
        slug = replaced(std::move(slug), mark, "");
    return slug;
}

std::size_t characters(std::string_view text) {
    std::size_t count = 0;
    for (const char c : text)
        count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return count;
}

}  // namespace course::site
