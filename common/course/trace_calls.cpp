#include "trace_calls.hpp"

#include <cstdlib>

namespace course {
namespace {

std::string trimmed(std::string_view text) {
    const std::size_t from = text.find_first_not_of(' ');
    if (from == std::string_view::npos)
        return {};
    return std::string(text.substr(from, text.find_last_not_of(' ') - from + 1));
}

// The arguments of "name(ARGUMENTS) = ...": split at the commas that stand in no quotes and no brackets. `at` is behind the
// opening parenthesis, and afterwards behind the closing one.
std::vector<std::string> arguments_from(std::string_view line, std::size_t& at) {
    std::vector<std::string> arguments;
    std::string one;
    int depth = 0;
    bool quoted = false;
    for (; at < line.size(); ++at) {
        const char c = line[at];
        if (quoted) {
            one += c;
            if (c == '\\' && at + 1 < line.size())
                one += line[++at];
            else if (c == '"')
                quoted = false;
            continue;
        }
        if (c == ')' && depth == 0) {
            ++at;
            break;
        }
        if (c == ',' && depth == 0) {
            arguments.push_back(trimmed(one));
            one.clear();
            continue;
        }
        const bool arrow = c == '>' && at > 0 && line[at - 1] == '-';  // TCP:[a->b]
        quoted = c == '"';
        depth += c == '(' || c == '[' || c == '{' || c == '<';
        depth -= c == ')' || c == ']' || c == '}' || (c == '>' && !arrow);
        one += c;
    }
    if (!trimmed(one).empty())
        arguments.push_back(trimmed(one));
    return arguments;
}

std::string word_at(std::string_view text, std::size_t at) { return std::string(text.substr(at, text.find_first_of(" (", at) - at)); }

bool parse(std::string_view line, TracedCall& call) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos)
        return false;
    call.start = std::strtod(std::string(line.substr(0, space)).c_str(), nullptr);
    line.remove_prefix(space + 1);
    if (line.starts_with("--- ")) {
        call.kind = TracedCall::Kind::signal;
        call.name = word_at(line, 4);
        return true;
    }
    if (line.starts_with("+++ exited with ")) {
        call.kind = TracedCall::Kind::exited;
        call.result = word_at(line, 16);
        return true;
    }
    if (line.starts_with("+++ killed by ")) {
        call.kind = TracedCall::Kind::killed;
        call.name = word_at(line, 14);
        return true;
    }
    std::size_t at = line.find('(');
    if (at == std::string_view::npos || call.start <= 0)
        return false;
    call.name = std::string(line.substr(0, at));
    ++at;
    call.arguments = arguments_from(line, at);
    const std::size_t equals = line.find("= ", at);
    if (equals == std::string_view::npos)
        return false;
    std::string_view rest = line.substr(equals + 2);
    if (const std::size_t time = rest.rfind(" <"); time != std::string_view::npos && rest.ends_with('>')) {
        call.duration = std::strtod(std::string(rest.substr(time + 2)).c_str(), nullptr);
        rest = rest.substr(0, time);
    }
    call.result = word_at(rest, 0);
    if (call.result == "-1" || call.result == "?")
        if (const std::size_t name = rest.find(" E"); name != std::string_view::npos)
            call.error = word_at(rest, name + 1);
    return true;
}

}  // namespace

std::vector<TracedCall> traced_calls(std::string_view log) {
    std::vector<TracedCall> calls;
    while (!log.empty()) {
        const std::size_t end = log.find('\n');
        TracedCall call;
        if (parse(log.substr(0, end), call))
            calls.push_back(std::move(call));
        log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
    }
    return calls;
}

TracedDescriptor traced_descriptor(std::string_view argument) {
    TracedDescriptor found;
    std::size_t at = 0;
    while (at < argument.size() && argument[at] >= '0' && argument[at] <= '9')
        ++at;
    if (at == 0 || at > 9)
        return found;
    found.number = std::atoi(std::string(argument.substr(0, at)).c_str());
    if (at < argument.size() && argument[at] == '<')
        if (const std::size_t end = argument.rfind('>'); end != std::string_view::npos && end > at)
            found.target = std::string(argument.substr(at + 1, end - at - 1));
    return found;
}

}  // namespace course
