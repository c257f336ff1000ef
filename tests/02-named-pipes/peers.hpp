#pragma once

/// @file
/// The other processes of lab 02, as the judge plays them: raw system calls, in judge_posix.cpp and judge_win32.cpp.
///
/// Every call waits until it is done, bounded by the stage; `on_hang` names the mistake that explains why it is not.

#include "judge.hpp"

#include <memory>

namespace peers {

using judge::Mistake;
using judge::Stage;
using judge::Subject;

/// The case by hand: a line for a shell, which runs the posix track's programs, or Windows programs by Wine.
/// @param wine  another line for those, where the first one needs what only Linux has
void by_hand(Stage& stage, const std::string& line, const std::string& wine = "");
inline const std::string not_by_hand = "-";
/// A NAME for the command line that nobody else uses.
std::string fresh_name(Stage& stage);
/// For read and write, which leave the name where it is: it must be there still, and goes now.
void expect_name_and_remove(Stage& stage, const std::string& name);
/// Tells a server to stop, politely; it does.
void stop(Subject& server);
/// Subject::idles(), and it does not even want to run: on a busy machine who burns the processor may get little of it.
void rests(Stage& stage, Subject& lab, const Mistake& otherwise = "busy-waiting");
bool name_exists(Stage& stage, const std::string& name);

/// Writes to whoever reads the name; comes when there is somebody.
class Writer {
public:
    Writer(Stage& stage, const std::string& name, const Mistake& on_hang = {});
    ~Writer();
    void message(const std::string& text, const Mistake& on_hang = {});
    /// Part of a message. Windows has no such thing; there the parts travel together when the message is complete.
    void begin_message(const std::string& text);
    /// Whether the system has taken all of it.
    bool settled();
    void close();

private:
    struct State;
    Stage& stage_;
    std::unique_ptr<State> state_;
};

/// Reads what somebody writes to the name. On Linux it comes when the name is there; on Windows it makes it.
class Reader {
public:
    Reader(Stage& stage, const std::string& name, const Mistake& on_hang = {});
    ~Reader();
    std::string message(const Mistake& on_hang = {});
    /// Takes a few bytes of a message, of which there are more.
    void taste();
    /// The writer closes.
    void end(const Mistake& on_hang = {});
    void close();

private:
    struct State;
    Stage& stage_;
    std::unique_ptr<State> state_;
};

/// A client of the server under the name.
class Client {
public:
    Client(Stage& stage, const std::string& name);
    Client(Client&&) noexcept;
    ~Client();
    /// The id that the server must know it by.
    unsigned long id() const;
    void ask(const std::string& text, const Mistake& on_hang = {});
    /// The same without waiting; false if the server's FIFO is full.
    bool ask_if_room(const std::string& text);
    std::string answer(const Mistake& on_hang = {});
    /// Asks as often as it gets rid of it, up to `count` times, and reads nothing.
    void flood(const std::string& text, int count, const Mistake& on_hang = {});

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The server under the name, for one client.
class Server {
public:
    Server(Stage& stage, const std::string& name);
    ~Server();
    /// Makes sure that the client can hear the answer before it is heard itself.
    void expect_open_ears(unsigned long client, const Mistake& otherwise);
    /// Lets the client speak, and does not listen yet.
    void make_room();
    /// The next request, which must come from `client`.
    std::string request(unsigned long client, const Mistake& on_hang = {});
    void answer(const std::string& text, const Mistake& on_hang = {});
    /// Dies: everything is closed.
    void close();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What a server must survive: clients that are gone, silent, or talk nonsense. They stay as long as this lives.
class RudeClients {
public:
    RudeClients(Stage& stage, const std::string& name);
    ~RudeClients();

private:
    struct State;
    std::unique_ptr<State> state_;
};

struct Asked {
    unsigned long client = 0;
    std::string text, answer;
};
/// As many clients as there are texts, all at once.
std::vector<Asked> crowd(Stage& stage, Subject& server, const std::string& name, const std::vector<std::string>& texts,
                         const Mistake& on_hang);

}  // namespace peers
