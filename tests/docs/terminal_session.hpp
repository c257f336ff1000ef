#pragma once

/// @file
/// A shell that is given one command after another, as a person at a terminal would, with its output in hand.

#include <chrono>
#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handout {

class TerminalSession {
public:
    /// Starts bash in `folder`; what it starts finds `programs` first.
    TerminalSession(const std::filesystem::path& folder, const std::filesystem::path& programs);
    ~TerminalSession();
    TerminalSession(const TerminalSession&) = delete;
    TerminalSession& operator=(const TerminalSession&) = delete;

    void type(const std::string& command);
    /// Waits until the command has ended, or `limit`. @return whether it has
    bool ended(std::chrono::milliseconds limit);
    /// Waits until all that was started waits for something, has worked for a second, or `limit`: a person types the next command when
    /// the one in the background has come to rest.
    void settle(std::chrono::milliseconds limit);
    /// Reads until `enough` says so of the lines so far, or `limit`. @return what it said at last
    template <class Enough>
    bool reads(Enough enough, std::chrono::milliseconds limit) {
        const auto until = std::chrono::steady_clock::now() + limit;
        while (!enough(lines())) {
            if (std::chrono::steady_clock::now() >= until)
                return false;
            read_some(std::chrono::milliseconds(20));
        }
        return true;
    }
    /// Whole lines that were printed since the last take(), and an unfinished one.
    std::vector<std::string> lines() const;
    /// Forgets the first `count` lines.
    void take(std::size_t count);
    bool busy() const { return busy_; }

private:
    void read_some(std::chrono::milliseconds limit);

    pid_t shell_ = -1;
    int commands_ = -1, keyboard_ = -1, ends_ = -1, output_ = -1;
    bool busy_ = false;
    std::string printed_;
};

/// Ends everything that was started below this process, whatever session it has moved to.
void end_everybody();

}  // namespace handout
