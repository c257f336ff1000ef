#pragma once

/// @file
/// An X server of the judge's own, without a screen, for labs that talk to a display.

#include "judge.hpp"

namespace judge {

/// Runs Xvfb from construction to destruction, on a display number that nobody uses. Nobody gets in without the key that
/// environment() names; requests are limited to 1 MiB. Its lock file and socket go with it.
class Display {
public:
    /// Ends the case as unavailable here if Xvfb is not installed.
    explicit Display(Stage& stage);
    Display(const Display&) = delete;
    ~Display();

    /// DISPLAY, as in ":7".
    const std::string& name() const { return name_; }
    /// The key that lets clients in, MIT-MAGIC-COOKIE-1.
    const std::string& cookie() const { return cookie_; }
    /// What a subject needs to be let in.
    std::map<std::string, std::optional<std::string>> environment() const;
    /// The server itself, for a case that stops it for a while.
    Process& server() { return *server_; }
    /// Ends the server, as a session's end does.
    void end();

private:
    std::string name_, cookie_, key_file_;
    std::optional<Process> server_;
};

/// The path of an installed program; empty if PATH does not lead to it.
std::string installed(const std::string& program);

}  // namespace judge
