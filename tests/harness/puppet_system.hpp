#pragma once

/// @file
/// What the puppet (puppet.md) needs of the system; puppet_posix.cpp and puppet_win32.cpp implement it.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace puppet {

/// The answer of a standard stream: bytes moved, and the system's name for the error if there was one ("EPIPE",
/// "ERROR_NO_DATA", …).
struct Moved {
    std::size_t count = 0;
    std::string error;
};

/// The line to the judge. All calls block; a lost judge ends the puppet at once.
class Channel {
public:
    explicit Channel(const std::string& endpoint);
    ~Channel();
    void read(char* to, std::size_t size);
    void write(const char* from, std::size_t size);

private:
    struct State;
    std::unique_ptr<State> state_;
};

enum class Standard { input, output, error };

/// Writes everything, or stops at the first error.
Moved standard_write(Standard which, const char* data, std::size_t size);
/// Reads at least one byte; count 0 without error is the end.
Moved standard_read(char* to, std::size_t size);
void close_standard(Standard which);

std::uint32_t own_id();
/// The program's arguments in UTF-8; the first is the path of its own program file, as the system tells it.
std::vector<std::string> arguments(int argc, char** argv);
std::map<std::string, std::string> environment();
std::string current_directory();
/// Signals that this process was started with ignored or blocked ("SIGPIPE ignored"); always empty on Windows.
std::vector<std::string> odd_signals();
/// What is open here, the channel left out; see puppet.md.
std::vector<std::string> descriptors(const Channel& channel);

void ignore_polite_requests();
/// Starts this program again with another endpoint; it inherits the standard streams. @return its id
std::uint32_t spawn(const std::string& program, const std::string& endpoint, bool detached);
/// Waits for the last spawned one. @return its exit code
std::uint32_t reap();
[[noreturn]] void end(std::uint32_t code);
[[noreturn]] void crash(const std::string& how);
[[noreturn]] void hold();

}  // namespace puppet
