#pragma once

/// @file
/// The other processes of lab 03, played by the judge itself with raw system calls: judge_posix.cpp and judge_win32.cpp.

#include "judge.hpp"
#include <memory>
#include <optional>
#include <string>

namespace judge {

/// Where the judged programs keep their slots: the environment that tells them, made new for each case.
Start slots_here(Stage& stage);

/// A slot of the judge's own, which it empties only when the case says so.
class RawSlot {
public:
    RawSlot(Stage& stage, const std::string& name);
    RawSlot(RawSlot&&) noexcept;
    ~RawSlot();

    const std::string& name() const;
    /// The next message if it comes in time.
    std::optional<std::string> take(Deadline deadline);
    /// The next message; fails the case if none comes.
    std::string takes(const Mistake& otherwise = {});
    /// Whether nothing waits in it.
    bool empty();
    /// Posts into itself until nobody could post without waiting. False if the system sets no limit to a slot.
    bool fill();
    /// Ends as a killed process ends: on POSIX the socket's name stays behind.
    void die();
    /// Ends as a careful process ends.
    void close();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Posts into the slot `name` without waiting; false if there was no room. Fails the case if nobody owns the slot.
bool raw_post(Stage& stage, const std::string& name, std::string_view message);

/// Whether somebody owns the slot `name`.
bool owned(Stage& stage, const std::string& name);

/// How long a name may be here: the folder's path has to fit into an address, too.
std::size_t longest_name(Stage& stage);

/// The lab program ends with this exit code, since `why`; if it came to wait for messages instead, that is said.
void ends_with(Stage& stage, Subject& lab, std::uint32_t code, const std::string& why, const Mistake& otherwise);

/// What is left of slots; empty when all is clean.
std::string slots_left(Stage& stage);

}  // namespace judge
