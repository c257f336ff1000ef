#pragma once

// What the stories of lab 00 share on both tracks.

#include "judge.hpp"
#include <optional>

/// One of two values, by the track that is judged.
template <class Value>
constexpr Value by_track([[maybe_unused]] Value posix, [[maybe_unused]] Value win32) {
#ifdef _WIN32
    return win32;
#else
    return posix;
#endif
}

/// `words -- PUPPET ENDPOINT arguments`
std::vector<std::string> line(std::vector<std::string> words, const judge::Puppet& puppet,
                              const std::vector<std::string>& arguments = {});

/// Waits until `lab` has started `child`, in a process of its own.
void starts(judge::Stage& stage, judge::Subject& lab, judge::Puppet& child, const judge::Mistake& otherwise = {});

/// The lab program and the family that it is to stop.
struct Family {
    std::optional<judge::Subject> lab;
    std::optional<judge::Puppet> child, grandchild, emigrant;
    std::chrono::steady_clock::time_point started;
    judge::milliseconds timeout{};

    judge::milliseconds age() const {
        return std::chrono::duration_cast<judge::milliseconds>(std::chrono::steady_clock::now() - started);
    }
};

/// Starts `run --timeout T --grace GRACE -- PUPPET`, and lets `grow` make a family of the puppet. If the time is up
/// before the family stands, it is tried again with more time: so T can be short on a machine that is not busy.
Family family(judge::Stage& stage, judge::milliseconds grace, const std::function<void(Family&)>& grow);

// What each track asks its system with calls of its own.

/// The line that `version` has to print.
std::string system_line();
/// ID:STARTED of a running process.
std::string identity_of(std::uint32_t id);
/// What the system still remembers of the lab program's ended child; empty: nothing. With 0 for a child that never ran.
std::string remembered(std::uint32_t lab, std::uint32_t child);
