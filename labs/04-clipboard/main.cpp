// lab-04: the verbs. This file is given; the work is in posix.cpp or win32.cpp.

#include "clipboard.hpp"
#include "command.hpp"

#include "ipc/program.hpp"
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace {

const char* const usage = R"(usage: lab-04 VERB [OPTION...]
  copy [--type TYPE]...                   put standard input on the clipboard, and serve it until somebody else copies
  copy [--type TYPE]... -- COMMAND...     the same with what COMMAND TYPE prints; run only when somebody pastes TYPE
  paste [--type TYPE]                     print what is on the clipboard
  types                                   list the types that can be pasted, one a line
  watch [--count N]                       print 'copied' or 'emptied' at every change, N times or for ever
  --type TYPE     text/plain (default; UTF-8), text/html, image/png, or another that two programs agree on
  --timeout MS    with copy, paste and types: how long another program may keep us waiting (default 5000)
copy and watch stay in the foreground, and print 'ready' when they are at work.
exit codes: 0 done (copy: somebody else has copied), 1 refused or not to be had, 2 wrong usage)";

struct Options {
    std::vector<std::string> types;
    std::chrono::milliseconds timeout{5000};
    std::optional<long long> count;
};

long long positive(const std::string& option, const std::string& text) {
    long long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > 1'000'000'000)
        throw ipc::usage_error("lab-04: " + option + " takes a number from 1 to 1000000000, not '" + text + "'");
    return number;
}

std::string type_name(const std::string& text, bool to_be_copied) {
    const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
    if (text.empty() || text.size() > 255 || !plain)
        throw ipc::usage_error("lab-04: --type takes 1 to 255 visible ASCII characters, not '" + text.substr(0, 300) + "'");
    if (to_be_copied && text.find('/') == std::string::npos)
        throw ipc::usage_error("lab-04: copy --type takes a media type, as in text/html, not '" + text + "'");
    return text;
}

Options options_of(const std::string& verb, const std::vector<std::string>& words) {
    Options options;
    for (std::size_t i = 1; i < words.size(); i += 2) {
        const std::string& name = words[i];
        const bool known = (name == "--type" && (verb == "copy" || verb == "paste")) ||
                           (name == "--timeout" && verb != "watch") || (name == "--count" && verb == "watch");
        if (!known)
            throw ipc::usage_error("lab-04: " + verb + " does not know '" + name + "'\n" + usage);
        if (i + 1 == words.size())
            throw ipc::usage_error("lab-04: there is nothing behind " + name);
        const std::string& value = words[i + 1];
        if (name == "--type")
            options.types.push_back(type_name(value, verb == "copy"));
        else if (name == "--timeout")
            options.timeout = std::chrono::milliseconds(positive(name, value));
        else
            options.count = positive(name, value);
    }
    if (verb == "paste" && options.types.size() > 1)
        throw ipc::usage_error("lab-04: paste takes one --type");
    if (options.types.empty())
        options.types.push_back("text/plain");
    std::vector<std::string> sorted = options.types;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
        throw ipc::usage_error("lab-04: --type " + *twice + " is there twice");
    return options;
}

std::string standard_input() {
    std::string all;
    char buffer[64 * 1024];
    while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin))
        all.append(buffer, count);
    if (std::ferror(stdin))
        ipc::throw_last_error("read", "standard input");
    return all;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const auto first = static_cast<unsigned char>(text[0]);
        const std::size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
        if (length == 0 || length > text.size())
            return false;
        unsigned long point = length == 1 ? first : first & (0x7fU >> length);
        for (std::size_t i = 1; i < length; ++i) {
            if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80)
                return false;
            point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
        }
        const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
        if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
        text.remove_prefix(length);
    }
    return true;
}

// What Offer::render promises of its bytes.
std::string checked(std::string data, const std::string& type, const std::string& source) {
    if (data.empty())
        throw std::runtime_error(source + " is empty; there is nothing to copy");
    if (type == "text/plain" && (!is_utf8(data) || data.find('\0') != std::string::npos))
        throw std::runtime_error(source + " is not UTF-8 text; name what it is, as in --type application/octet-stream");
    return data;
}

int copy(const Options& options, const std::vector<std::string>& command) {
    std::vector<clipboard::Offer> offers;
    const std::string input = command.empty() ? standard_input() : "";
    for (const std::string& type : options.types) {
        if (command.empty())
            checked(input, type, "standard input");  // now, before anything is taken from the clipboard
        offers.push_back({type, [&input, &command, type] {
                              if (command.empty())
                                  return input;
                              std::vector<std::string> words = command;
                              words.push_back(type);
                              return checked(command::output_of(words), type, "the output of '" + command[0] + "'");
                          }});
    }
    clipboard::copy(offers, options.timeout);
    return ipc::exit_code::success;
}

int types(const Options& options) {
    for (const std::string& type : clipboard::types(options.timeout))
        ipc::print(type + "\n");
    return ipc::exit_code::success;
}

int watch(const Options& options) {
    long long left = options.count.value_or(0);
    clipboard::watch([&](clipboard::Change change) {
        ipc::print(change == clipboard::Change::copied ? "copied\n" : "emptied\n");
        return !options.count || --left > 0;
    });
    return ipc::exit_code::success;
}

int run(const ipc::Arguments& arguments) {
    const std::vector<std::string>& words = arguments.options;
    const std::string verb = words.empty() ? "" : words[0];
    if (verb == "--help")
        return std::puts(usage) < 0;
    if (verb != "copy" && verb != "paste" && verb != "types" && verb != "watch")
        throw ipc::usage_error(verb.empty() ? usage : "lab-04: unknown verb '" + verb + "'\n" + usage);
    if (arguments.has_command && (verb != "copy" || arguments.command.empty()))
        throw ipc::usage_error("lab-04: a command behind -- is for copy, as in: lab-04 copy -- date");
    const Options options = options_of(verb, words);
    if (verb == "copy")
        return copy(options, arguments.command);
    if (verb == "types")
        return types(options);
    if (verb == "watch")
        return watch(options);
    ipc::print(clipboard::paste(options.types[0], options.timeout));
    return ipc::exit_code::success;
}

}  // namespace

int main(int argc, char** argv) { return ipc::run_program(argc, argv, run); }
