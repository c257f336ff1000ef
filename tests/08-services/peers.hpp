#pragma once

/// @file
/// The other processes of lab 08, as the judge plays them: a service manager and clients, made of raw system calls, in
/// peers_posix.cpp and peers_win32.cpp.
///
/// Every call waits until it is done, bounded by the stage; `otherwise` names the mistake that explains why it is not.

#include "judge.hpp"

#include <memory>

namespace peers {

using judge::Deadline;
using judge::Mistake;
using judge::Stage;
using judge::Subject;

#ifdef _WIN32
constexpr bool windows = true;
#else
constexpr bool windows = false;
#endif

/// The same with real programs: for a POSIX shell, and for cmd.
inline void by_hand(Stage& stage, const std::string& shell, const std::string& cmd) { stage.by_hand(windows ? cmd : shell); }

/// A file that the service reads, and that ends when the judge says so.
class Gate {
public:
    explicit Gate(Stage& stage);
    Gate(Gate&&) noexcept;
    ~Gate();
    std::string path() const;
    /// Waits until the service has begun to read it. It goes on only after open().
    void reached(const Mistake& otherwise = {});
    /// Gives it some bytes, and the end; tells how many.
    std::size_t open();

private:
    struct State;
    std::unique_ptr<State> state_;
};

class Service;

/// A client of the service: the judge itself.
class Client {
public:
    explicit Client(Service& service, const Mistake& otherwise = {});
    Client(Client&&) noexcept;
    ~Client();
    /// Part of a request. Windows has no such thing; there the parts travel together when the request is complete.
    void begin_request(const std::string& text);
    void ask(const std::string& text);
    std::string answer(const Mistake& otherwise = {});
    /// Asks, and the answer is this.
    void expect(const std::string& request, const std::string& answer, const Mistake& otherwise = {});
    /// The service has closed the connection.
    void dismissed(const Mistake& otherwise = {});

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The lab program as a service, under a manager that the judge plays (posix) or watches (Windows).
class Service {
public:
    /// Writes the configuration; does not start it.
    Service(Stage& stage, const std::string& greeting, const std::vector<std::string>& loads = {});
    Service(const Service&) = delete;
    ~Service();

    Stage& stage();
    const std::string& name() const;
    const std::string& address() const;
    std::string config() const;
    /// Options that `ask` needs to find it.
    std::vector<std::string> ask(const std::string& request) const;
    void configure(const std::string& text);

    /// Started, and not waited for.
    void begin();
    /// It has told the manager that it is ready.
    void ready(const Mistake& otherwise = {});
    /// It has not told so yet.
    void is_not_ready(const Mistake& otherwise);
    /// It tells the manager of another step on the way up.
    void makes_progress(const Mistake& otherwise);
    void tell_to_stop();
    /// It has told the manager that it is on its way down.
    void is_stopping(const Mistake& otherwise);
    /// It tells the manager of another step on the way down.
    void makes_progress_down(const Mistake& otherwise);
    void tell_to_reload();
    /// It has told the manager (posix) or written into its log (Windows) that it has read its configuration again.
    void reloaded(const Mistake& otherwise = {});
    /// The same, for a configuration that is no good.
    void reload_failed(const Mistake& otherwise = {});
    /// It has ended as it should, and its name is gone.
    void stopped(const Mistake& otherwise = {});
    /// It has ended without ever having been ready, and the manager can tell that it has failed.
    void failed(const Mistake& otherwise = {});
    /// It uses no processor.
    void idles(const Mistake& otherwise = "busy-waiting");
    /// Its end comes without warning.
    void kill();
    /// The log's lines so far, those that say `event=EVENT`.
    std::vector<std::string> events(const std::string& event) const;
    /// Waits until there is such a line, and returns the first.
    std::string event(const std::string& event, const Mistake& otherwise = {});

    struct State;
    State& state() { return *state_; }

private:
    std::unique_ptr<State> state_;
};

/// What the manager would start: the words of the command line, read as the manager reads them.
struct Definition {
    bool known = false;
    std::vector<std::string> command;
};

/// Plays or is the manager for install, remove, start, stop, reload and status.
class Definitions {
public:
    explicit Definitions(Stage& stage);
    ~Definitions();
    /// Runs the verb to its end.
    Subject run(const std::string& verb, const std::string& name, std::vector<std::string> options = {});
    Definition find(const std::string& name);
    /// Nothing of this name is left.
    void expect_nothing(const std::string& name, const Mistake& otherwise);

    struct State;

private:
    std::unique_ptr<State> state_;
};

/// An absolute path in the stage's private folder, where the lab program runs.
std::string path_here(Stage& stage, const std::string& file);
/// The lab program's own path, as the system tells it.
std::string program();
/// Our own user, as it has to be in the log.
std::string own_user();

void write_text(const std::string& path, const std::string& text);
std::string read_text(const std::string& path);
bool exists(const std::string& path);

}  // namespace peers
