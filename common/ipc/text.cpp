#include "ipc/text.hpp"

#include "ipc/error.hpp"
#include <algorithm>
#include <windows.h>

namespace ipc {

std::wstring to_wide(std::string_view text) {
    if (text.empty())
        return {};  // MultiByteToWideChar treats a length of 0 as an error
    const int from = static_cast<int>(text.size());
    const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), from, nullptr, 0);
    if (length == 0)
        throw_last_error("MultiByteToWideChar");
    std::wstring wide(static_cast<std::size_t>(length), L'\0');
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), from, wide.data(), length);
    return wide;
}

std::string to_utf8(std::wstring_view text) {
    if (text.empty())
        return {};
    const int from = static_cast<int>(text.size());
    const int length = WideCharToMultiByte(CP_UTF8, 0, text.data(), from, nullptr, 0, nullptr, nullptr);
    if (length == 0)
        throw_last_error("WideCharToMultiByte");
    std::string utf8(static_cast<std::size_t>(length), '\0');
    WideCharToMultiByte(CP_UTF8, 0, text.data(), from, utf8.data(), length, nullptr, nullptr);
    return utf8;
}

std::vector<std::string> split_command_line(std::wstring_view line) {
    constexpr std::wstring_view blanks = L" \t";
    std::vector<std::string> arguments;
    const bool quoted_program = !line.empty() && line[0] == L'"';
    const auto program_end = std::min(line.size(), quoted_program ? line.find(L'"', 1) : line.find_first_of(blanks));
    arguments.push_back(to_utf8(line.substr(quoted_program, program_end - quoted_program)));

    std::size_t i = std::min(line.size(), program_end + quoted_program);
    while ((i = line.find_first_not_of(blanks, i)) != std::wstring_view::npos) {
        std::wstring argument;
        bool quoted = false;
        for (; i < line.size() && (quoted || blanks.find(line[i]) == std::wstring_view::npos); ++i) {
            const auto after = std::min(line.size(), line.find_first_not_of(L'\\', i));
            const std::size_t backslashes = after - i;
            const bool quote = after < line.size() && line[after] == L'"';
            argument.append(quote ? backslashes / 2 : backslashes, L'\\');
            i = after;
            if (!quote) {
                if (backslashes > 0)
                    --i;  // the loop goes on behind the last backslash
                else
                    argument += line[i];
            } else if (backslashes % 2 == 1) {
                argument += L'"';
            } else if (quoted && i + 1 < line.size() && line[i + 1] == L'"') {
                argument += L'"';  // two quotes within quotes are one
                ++i;
            } else {
                quoted = !quoted;
            }
        }
        arguments.push_back(to_utf8(argument));
    }
    return arguments;
}

}  // namespace ipc
