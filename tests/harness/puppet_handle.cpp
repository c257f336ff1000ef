// The judge's side of the line to a puppet; see puppet.md.

#include "stage_state.hpp"

#include <filesystem>

namespace judge {

using nlohmann::json;
namespace fs = std::filesystem;

Puppet::Puppet(std::shared_ptr<State> state) : state_(std::move(state)) {}
Puppet::Puppet(Puppet&&) noexcept = default;
Puppet::~Puppet() = default;

std::string Puppet::program() const { return puppet_program(); }
std::string Puppet::endpoint() const { return state_->listener.endpoint(); }
std::vector<std::string> Puppet::command() const { return {program(), endpoint()}; }

namespace {

// One line of JSON that may come in pieces, over several attempts. Sets `lost` when the puppet is gone.
struct LineReader {
    std::string line;
    bool attempt(Connection& connection, Deadline deadline, bool& lost) {
        for (char c = 0;;) {
            if (!connection.read(&c, 1, deadline)) {
                lost = !deadline.expired();
                return lost;
            }
            if (c == '\n')
                return true;
            line += c;
        }
    }
};

}  // namespace

bool Puppet::is_started() const { return state_->connection.has_value(); }

void Puppet::started(const Mistake& otherwise) {
    Stage stage(state_->stage);
    stage.await([&](Deadline deadline) {
        state_->connection = state_->listener.accept(deadline);
        return state_->connection.has_value();
    }, "the given program is started with its arguments", otherwise);
    std::error_code error;
    const std::string peer = state_->connection->peer_program();
    if (!fs::equivalent(peer, program(), error))
        stage.fail({"the given program itself is started", "something else spoke in its place: " + peer, "", "", ""});
    LineReader reader;
    bool lost = false;
    stage.await([&](Deadline deadline) { return reader.attempt(*state_->connection, deadline, lost); },
                "the started program runs", otherwise);
    if (lost)
        stage.fail({"the started program runs", "it ended at once", "", "", otherwise});
    state_->hello = json::parse(reader.line);
}

std::uint32_t Puppet::id() const { return state_->hello.at("hello"); }
std::vector<std::string> Puppet::arguments() const { return state_->hello.at("args"); }
std::map<std::string, std::string> Puppet::environment() const { return state_->hello.at("env"); }
std::string Puppet::directory() const { return state_->hello.at("cwd"); }
std::vector<std::string> Puppet::odd_signals() const { return state_->hello.at("signals"); }

namespace {

// What the puppet does when it is told this, as a student would say it.
std::string words_for(const json& request, std::size_t bytes) {
    const std::string what = request.at("do");
    const auto amount = [](std::uint64_t count) { return std::to_string(count) + (count == 1 ? " byte" : " bytes"); };
    if (what == "write")
        return "writes " + amount(bytes) + " to its standard output";
    if (what == "write-error")
        return "writes " + amount(bytes) + " to its standard error";
    if (what == "pour")
        return "writes " + amount(request.at("count")) + " to its standard output";
    if (what == "read")
        return "reads " + amount(request.at("count")) + " from its standard input";
    if (what == "drain")
        return "reads its standard input to the end";
    if (what == "relay")
        return "copies its standard input to its standard output, to the end";
    if (what == "close-input" || what == "close-output")
        return std::string("closes its standard ") + (what == "close-input" ? "input" : "output");
    if (what == "spawn")
        return "starts a child of its own";
    if (what == "reap")
        return "waits for the end of its own child";
    return "goes on until it is told to end";
}

template <class State>
void send(State& state, json request, std::string_view bytes = {}) {
    state.pending = words_for(request, bytes.size());
    if (!bytes.empty())
        request["bytes"] = bytes.size();
    const std::string text = request.dump() + "\n" + std::string(bytes);
    Stage stage(state.stage);
    if (!state.connection)
        throw std::logic_error("a puppet that " + state.pending + " was told so before it was started");
    if (!state.connection->write(text.data(), text.size(), Deadline::in(milliseconds(10000))))
        stage.fail({"the started program goes on until it is told to end", "it is gone", "", "", "child-killed"});
}

template <class State>
json receive(State& state, std::string& bytes, const Mistake& on_hang) {
    Stage stage(state.stage);
    LineReader reader;
    bool lost = false;
    const std::string what = "the started program " + state.pending;
    stage.await([&](Deadline deadline) { return reader.attempt(*state.connection, deadline, lost); }, what, on_hang);
    if (lost)
        stage.fail({what, "it was ended meanwhile", "", "", on_hang});
    json answer = json::parse(reader.line);
    bytes.assign(answer.value("bytes", std::size_t{0}), '\0');
    if (!bytes.empty() && !state.connection->read(bytes.data(), bytes.size(), Deadline::in(milliseconds(10000))))
        stage.fail({what, "it was ended meanwhile", "", "", on_hang});
    return answer;
}

}  // namespace

Puppet::Moved Puppet::finish(const Mistake& on_hang) {
    std::string bytes;
    const json answer = receive(*state_, bytes, on_hang);
    return {answer.value("count", std::uint64_t{0}), answer.value("hash", ""), answer.value("error", ""), bytes, answer.value("end", false)};
}

Puppet::Moved Puppet::write(std::string_view bytes, const Mistake& on_hang) {
    send(*state_, {{"do", "write"}}, bytes);
    return finish(on_hang);
}

Puppet::Moved Puppet::write_error(std::string_view bytes, const Mistake& on_hang) {
    send(*state_, {{"do", "write-error"}}, bytes);
    return finish(on_hang);
}

void Puppet::begin_pour(std::uint64_t count, std::uint64_t seed) { send(*state_, {{"do", "pour"}, {"count", count}, {"seed", seed}}); }
void Puppet::begin_drain() { send(*state_, {{"do", "drain"}}); }
void Puppet::begin_relay() { send(*state_, {{"do", "relay"}}); }

Puppet::Moved Puppet::pour(std::uint64_t count, std::uint64_t seed, const Mistake& on_hang) {
    begin_pour(count, seed);
    return finish(on_hang);
}

Puppet::Moved Puppet::read(std::size_t count, const Mistake& on_hang) {
    send(*state_, {{"do", "read"}, {"count", count}});
    return finish(on_hang);
}

Puppet::Moved Puppet::drain(const Mistake& on_hang) {
    begin_drain();
    return finish(on_hang);
}

Puppet::Moved Puppet::relay(const Mistake& on_hang) {
    begin_relay();
    return finish(on_hang);
}

void Puppet::close_input() {
    send(*state_, {{"do", "close-input"}});
    finish();
}

void Puppet::close_output() {
    send(*state_, {{"do", "close-output"}});
    finish();
}

std::vector<std::string> Puppet::descriptors() {
    send(*state_, {{"do", "descriptors"}});
    std::string bytes;
    return receive(*state_, bytes, "").at("descriptors");
}

void Puppet::ignore_polite_requests() {
    send(*state_, {{"do", "ignore-polite"}});
    finish();
}

Puppet Puppet::spawn(bool detached) {
    Puppet other = Stage(state_->stage).puppet();
    send(*state_, {{"do", "spawn"}, {"endpoint", other.endpoint()}, {"detached", detached}});
    finish();
    other.started();
    return other;
}

std::uint32_t Puppet::reap(const Mistake& on_hang) {
    send(*state_, {{"do", "reap"}});
    std::string bytes;
    return receive(*state_, bytes, on_hang).at("code");
}

void Puppet::exit(std::uint32_t code) { send(*state_, {{"do", "exit"}, {"code", code}}); }
void Puppet::crash(const std::string& how) { send(*state_, {{"do", "crash"}, {"how", how}}); }
void Puppet::hold() { send(*state_, {{"do", "hold"}}); }
void Puppet::spin() { send(*state_, {{"do", "spin"}}); }

void Puppet::gone(const Mistake& otherwise) {
    char c = 0;
    Stage(state_->stage).await([&](Deadline deadline) {
        if (state_->lost)
            return true;
        state_->lost = !state_->connection->read(&c, 1, deadline) && !deadline.expired();
        return state_->lost;
    }, "the started program is ended", otherwise);
}

}  // namespace judge
