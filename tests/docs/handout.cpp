#include "handout.hpp"

#include <algorithm>
#include <cctype>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace handout {
namespace {

std::string trimmed(const std::string& text) {
    const std::size_t first = text.find_first_not_of(" \t");
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, at);)
        parts.push_back(trimmed(part));
    return parts;
}

void read_option(const std::string& option, Mark& mark) {
    static const std::regex terminal("terminal ([1-9])");
    std::smatch part;
    if (option == "in part") {
        mark.in_part = true;
    } else if (option.rfind("with ", 0) == 0) {
        mark.companion = option.substr(5);
    } else if (option.rfind("first ", 0) == 0) {
        mark.preparation = option.substr(6);
    } else if (option == "in any order") {
        mark.any_order = true;
    } else if (option == "waits") {
        mark.waits = true;
    } else if (std::regex_match(option, part, terminal)) {
        mark.terminal = std::stoi(part[1]);
    } else if (option.size() > 5 && option.substr(option.size() - 5) == " vary") {
        for (const std::string& word : split(option.substr(0, option.size() - 5), ',')) {
            if (word == "numbers")
                mark.numbers = true;
            else
                mark.varying.push_back(word);
        }
    } else {
        throw std::runtime_error(
            "'" + option +
            "' is no option; there are 'in part', 'in any order', 'with …', 'first …', 'waits', "
            "'terminal N', '… vary'");
    }
}

Mark mark_in(const std::string& comment) {
    static const std::regex known(R"(<!-- (run|not run|from)(?:: (.*?))? -->)");
    std::smatch part;
    Mark mark;
    if (!std::regex_match(comment, part, known))
        return mark;
    if (part[1] == "not run") {
        mark.kind = Mark::not_run;
        mark.reason = part[2];
        if (mark.reason.empty())
            throw std::runtime_error("'not run' wants a reason: <!-- not run: why -->");
    } else if (part[1] == "from") {
        mark.kind = Mark::from;
        mark.file = part[2];
    } else {
        mark.kind = Mark::run;
        for (const std::string& option : split(part[2], ';'))
            read_option(option, mark);
    }
    return mark;
}

// Numbers become '#' and runs of blanks one: a column is as wide as its numbers.
std::string normal(const Mark& mark, const std::string& line) {
    if (!mark.numbers)
        return line;
    static const std::regex number(R"(\d+(?:[.,:]\d+)*)"), blanks("[ \t]+");
    return trimmed(std::regex_replace(std::regex_replace(line, number, "#"), blanks, " "));
}

// Whether a quotation goes on in the next line, as in python3 -c "…
bool has_open_quote(const std::string& command) {
    char quote = 0;
    for (std::size_t i = 0; i < command.size(); ++i) {
        if (command[i] == '\\' && quote != '\'')
            ++i;
        else if (quote ? command[i] == quote : command[i] == '"' || command[i] == '\'')
            quote = quote ? 0 : command[i];
        else if (command[i] == '#' && !quote && i > 0 && command[i - 1] == ' ')
            break;
    }
    return quote != 0;
}

}  // namespace

bool Block::is_transcript() const {
    return std::any_of(lines.begin(), lines.end(),
                       [](const std::string& text) { return text.rfind("$ ", 0) == 0; });
}

std::vector<Command> Block::commands() const {
    std::vector<Command> result;
    bool continued = false;
    for (const std::string& text : lines) {
        if (continued) {
            result.back().line += "\n" + text;
        } else if (text.rfind("$ ", 0) == 0) {
            result.push_back({text.substr(2), {}});
        } else {
            if (result.empty())
                result.push_back({"", {}});
            result.back().answers.push_back(text);
            continue;
        }
        continued = (!text.empty() && text.back() == '\\') || has_open_quote(result.back().line);
    }
    return result;
}

std::vector<Block> blocks_of(std::string_view markdown) {
    std::vector<Block> blocks;
    std::istringstream stream{std::string(markdown)};
    std::string section;
    Mark mark;
    int number = 0;
    std::size_t indent = 0;
    bool inside = false;
    for (std::string line; std::getline(stream, line);) {
        ++number;
        const std::string text = trimmed(line);
        if (inside) {
            if (text == "```")
                inside = false;
            else
                blocks.back().lines.push_back(
                    line.substr(std::min({indent, line.size(), line.find_first_not_of(' ')})));
        } else if (text.rfind("```", 0) == 0) {
            inside = true;
            indent = line.find('`');
            blocks.push_back({number, section, text.substr(3), mark, {}});
            mark = {};
        } else if (text.rfind("<!-- ", 0) == 0) {
            try {
                mark = mark_in(text);
            } catch (const std::runtime_error& error) {
                throw std::runtime_error("line " + std::to_string(number) + ": " + error.what());
            }
        } else if (!text.empty()) {
            if (mark.kind != Mark::none)
                throw std::runtime_error(
                    "line " + std::to_string(number) +
                    ": the comment above says how to run a block, and no block follows it");
            if (line[0] == '#')
                section = text;
        }
    }
    return blocks;
}

bool matches(const Mark& mark, const std::string& expected, const std::string& got) {
    const std::string want = normal(mark, expected), have = normal(mark, got);
    if (mark.varying.empty())
        return want == have;
    const std::vector<std::string> wanted = split(want, ' '), had = split(have, ' ');
    return std::equal(
        wanted.begin(), wanted.end(), had.begin(), had.end(),
        [&](const std::string& a, const std::string& b) {
            return a == b || std::any_of(mark.varying.begin(), mark.varying.end(),
                                         [&](const std::string& word) { return a == normal(mark, word); });
        });
}

int first_missing(const Mark& mark, const std::vector<std::string>& expected,
                  const std::vector<std::string>& got) {
    if (mark.any_order) {
        Mark in_order = mark;
        in_order.any_order = false;
        std::vector<std::string> sorted_expected = expected, sorted_got = got;
        std::sort(sorted_expected.begin(), sorted_expected.end());
        std::sort(sorted_got.begin(), sorted_got.end());
        return first_missing(in_order, sorted_expected, sorted_got);
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (mark.in_part)
            while (at < got.size() && !matches(mark, expected[i], got[at]))
                ++at;
        if (at == got.size() || !matches(mark, expected[i], got[at]))
            return static_cast<int>(i);
        ++at;
    }
    return -1;
}

std::string as_at_a_terminal(const std::string& line) {
    static const std::regex job(
        R"(.*: line \d+: +\d+ +(Killed|Terminated|Hangup|Stopped|Done|Broken pipe|Segmentation fault|Aborted|Bus error|User defined signal \d)( .*|))");
    std::smatch part;
    if (!std::regex_match(line, part, job))
        return line;
    return part[1] == "Segmentation fault" || part[1] == "Bus error" || part[1] == "Aborted" ? part[1].str()
                                                                                             : "";
}

}  // namespace handout
