#pragma once

/// @file
/// Text is UTF-8 everywhere in the course; Windows wants UTF-16 at its border.

#ifdef _WIN32

#include <string>
#include <string_view>
#include <vector>

namespace ipc {

/// UTF-8 to UTF-16, for a ...W function.
/// @throws std::system_error ERROR_NO_UNICODE_TRANSLATION if `text` is not UTF-8
std::wstring to_wide(std::string_view text);

/// UTF-16 to UTF-8. Unpaired surrogates, which Windows allows in names, become U+FFFD.
std::string to_utf8(std::wstring_view text);

/// The arguments that a C program finds in argv if it was started with this command line: the first is the program.
///
/// Outside the program's name: blanks separate, double quotes keep together, and a backslash is special only in a row
/// that stands before a quote (`2n` give `n` and the quote acts, `2n+1` give `n` and the quote is meant).
/// CommandLineToArgvW does the same, but is in shell32.dll: with it comes the window system, three times the start of a
/// small program.
std::vector<std::string> split_command_line(std::wstring_view line);

}  // namespace ipc

#endif
