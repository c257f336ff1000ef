#pragma once

// The judge as the other programs at the clipboard. judge_posix.cpp does it on X11, judge_win32.cpp on Windows, both with
// nothing but the system's own calls.

#include "judge.hpp"

namespace peers {

using namespace judge;

#ifdef _WIN32
constexpr bool windows = true;
#else
constexpr bool windows = false;
#endif

/// One thing on the clipboard, named as the lab names it.
struct Item {
    std::string type, bytes;
};

/// What a program that has copied does when somebody asks for its data.
enum class Manner {
    answers,
    waits,   ///< until Desk::answer()
    silent,  ///< never answers
    dies,    ///< ends instead
};

/// A clipboard of the case's own. On POSIX: an X server of its own; under Wine: a window station of its own.
class Desk {
public:
    explicit Desk(Stage& stage);
    Desk(const Desk&) = delete;
    ~Desk();

    /// Starts the lab program at this clipboard.
    Subject start(std::vector<std::string> arguments, Start how = {});
    /// `copy` with this input, until it is ready; it does the work itself.
    Subject copies(std::vector<std::string> arguments, const std::string& input, const Mistake& otherwise = {});

    /// Another program copies. It is asked for nothing before this returns.
    /// @param pieces if it goes by pieces: after so many of them the manner shows, before it does not
    void copy(std::vector<Item> items, Manner manner = Manner::answers, std::size_t pieces = 0);
    /// Waits until somebody has asked for data, in the manner `waits`.
    void is_asked(const Mistake& otherwise);
    void answer();
    /// Nothing is on the clipboard any more.
    void empty();

    /// Another program pastes what the lab program has copied; nullopt if it is refused.
    std::optional<std::string> ask(const std::string& type, const Mistake& otherwise = {});
    /// The same, and it must be exactly these bytes.
    void gets(const std::string& type, const std::string& bytes, const Mistake& otherwise = {});
    /// What is on offer, named as the lab names it; each once.
    std::vector<std::string> types(const Mistake& otherwise = {});
    /// All the forms of text that the system knows give this text.
    void gets_all_forms_of(const std::string& text);

    struct State;
    State& state() { return *state_; }

private:
    Stage& stage_;
    std::unique_ptr<State> state_;
};

/// Waits for what no lab program has to do with: neither its standing still nor its end says anything then.
void await_ours(Stage& stage, const std::function<bool(Deadline)>& attempt, const std::string& what);

/// Fails the case if another program does the lab program's work.
void works_alone(Stage& stage, Subject& lab);

/// Some text with all that is likely to be spoiled on the way, and a random part.
std::string nasty_text(Random& random);

}  // namespace peers
