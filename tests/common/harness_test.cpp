// The harness's own promises: payloads, words, starting, watching and ending processes.

#include "judge.hpp"
#include "stage_state.hpp"

#include <filesystem>

using judge::Deadline;
using judge::milliseconds;

TEST_CASE("the same seed gives the same bytes, whole or in pieces of eight") {
    judge::Random one(42), two(42), other(43);
    const std::string whole = one.bytes(4096);
    std::string pieces;
    for (int i = 0; i < 4; ++i)
        pieces += two.bytes(1024);
    CHECK(whole == pieces);
    CHECK(whole != other.bytes(4096));
}

TEST_CASE("a hash does not depend on how the bytes were cut, but on all of them") {
    judge::Random random(7);
    const std::string bytes = random.bytes(1001);
    judge::Hash whole, cut, changed, longer;
    whole.add(bytes.data(), bytes.size());
    cut.add(bytes.data(), 3);
    cut.add(bytes.data() + 3, 990);
    cut.add(bytes.data() + 993, 8);
    CHECK(whole.hex() == cut.hex());
    std::string other = bytes;
    other[1000] ^= 1;
    changed.add(other.data(), other.size());
    CHECK(whole.hex() != changed.hex());
    longer.add(bytes.data(), bytes.size());
    longer.add("\0", 1);
    CHECK(whole.hex() != longer.hex());
}

TEST_CASE("bytes are shown so that nothing reaches a terminal raw") {
    CHECK(judge::shown("a\n\x1b[31m\"\\") == "\"a\\n\\x1b[31m\\\"\\\\\"");
    CHECK(judge::shown(std::string(100, 'x'), 4) == "\"xxxx\"\xe2\x80\xa6 (100 bytes)");
}

TEST_CASE("a difference names the first byte that differs") {
    CHECK(judge::difference("", "x") == "nothing");
    CHECK(judge::difference("ab", "abc").starts_with("only the first 2 of 3 bytes"));
    CHECK(judge::difference("abcd", "abc").starts_with("1 bytes too many"));
    CHECK(judge::difference("abXd", "abcd").starts_with("byte 2 differs"));
}

TEST_CASE("a mistake is recognised as long as its words mean it") {
    const judge::CaseOptions options;
    judge::Stage::State state(options);
    judge::Stage stage(state);
    const auto named = [&]() -> std::string {
        try {
            stage.fail({"red", "blue", "", "", "from-the-step"});
        } catch (const judge::CaseOver& over) {
            return over.result.mistake;
        }
    };
    CHECK(named() == "from-the-step");
    stage.recognise("got: blue", "for-this-step");
    stage.recognise_throughout("expected: red", "in-all-steps");
    CHECK(named() == "for-this-step");
    stage.forget();
    CHECK(named() == "in-all-steps");
}

namespace {

struct Started {
    std::string folder = judge::make_private_directory();
    judge::Listener listener{folder};
    std::optional<judge::Process> process;
    std::optional<judge::Connection> connection;

    explicit Started(judge::StartRequest request = {}) {
        request.command = {judge::puppet_program(), listener.endpoint()};
        process = judge::Process::start(std::move(request));
        connection = listener.accept(Deadline::in(milliseconds(20000)));
        REQUIRE(connection);
        REQUIRE(read_line().find("hello") != std::string::npos);
    }
    ~Started() {
        process.reset();
        std::filesystem::remove_all(folder);
    }
    std::string read_line() {
        std::string line;
        for (char c = 0; connection->read(&c, 1, Deadline::in(milliseconds(10000))) && c != '\n';)
            line += c;
        return line;
    }
    void tell(const std::string& request) {
        const std::string line = request + "\n";
        REQUIRE(connection->write(line.data(), line.size(), Deadline::in(milliseconds(10000))));
    }
};

}  // namespace

TEST_CASE("a process is started, known to be itself, and its exit code told") {
    Started puppet;
    CHECK(puppet.connection->peer_id() == puppet.process->id());
    CHECK(std::filesystem::equivalent(puppet.connection->peer_program(), judge::puppet_program()));
    CHECK_FALSE(puppet.process->wait(Deadline::in(milliseconds(0))));
    puppet.tell(R"({"do":"exit","code":41})");
    REQUIRE(puppet.process->wait(Deadline::in(milliseconds(10000))));
    CHECK(puppet.process->ended().how == judge::Ended::How::exited);
    CHECK(puppet.process->ended().code == 41);
}

TEST_CASE("a crash is told from an exit code, by name") {
    Started puppet;
    puppet.tell(R"({"do":"crash","how":"segv"})");
    REQUIRE(puppet.process->wait(Deadline::in(milliseconds(10000))));
    CHECK(puppet.process->ended().how == judge::Ended::How::killed);
#ifdef _WIN32
    CHECK(puppet.process->ended().text().find("access violation") != std::string::npos);
#else
    CHECK(puppet.process->ended().text().find("SIGSEGV") != std::string::npos);
#endif
}

TEST_CASE("a program that is not there is an error, and nothing runs") {
    judge::StartRequest request;
    request.command = {"/no/such/program"};
    CHECK_THROWS_AS(judge::Process::start(std::move(request)), std::system_error);
}

TEST_CASE("a detached grandchild belongs to the tree and ends with it") {
#ifndef _WIN32
    judge::catch_interrupts();  // makes us the reaper of orphans, as a judge's case process is
#endif
    Started puppet;
    judge::Listener second(puppet.folder);
    puppet.tell(R"({"do":"spawn","detached":true,"endpoint":)" + nlohmann::json(second.endpoint()).dump() + "}");
    auto grandchild = second.accept(Deadline::in(milliseconds(20000)));
    REQUIRE(grandchild);
    puppet.read_line();
    CHECK(puppet.process->tree().size() == 2);
    puppet.tell(R"({"do":"exit","code":0})");
    REQUIRE(puppet.process->wait(Deadline::in(milliseconds(10000))));
    REQUIRE(puppet.process->tree().size() == 1);
    CHECK(puppet.process->tree()[0].id == grandchild->peer_id());
    puppet.process->end_tree();
    CHECK(puppet.process->tree().empty());
}

TEST_CASE("a hang is explained: who waits for what, and who holds it") {
    auto [read_end, write_end] = judge::make_pipe();
    judge::StartRequest request;
    request.input = std::move(read_end);
    Started puppet(std::move(request));
    puppet.tell(R"({"do":"read","count":1})");
    // It takes a moment until it blocks; the explanation is asked for until it says so, and bounded.
    std::string said;
    for (const Deadline deadline = Deadline::in(milliseconds(10000)); !deadline.expired();) {
        said.clear();
        for (const std::string& sentence : judge::explain_hang(*puppet.process))
            said += sentence + "\n";
#ifdef _WIN32
        if (said.find("ReadFile") != std::string::npos)
#else
        if (said.find("read(0)") != std::string::npos)
#endif
            break;
    }
    INFO(said);
    CHECK(said.find("pipe") != std::string::npos);
    CHECK(said.find("puppet") != std::string::npos);
    CHECK(said.find("the judge") != std::string::npos);  // it is we who hold the write end
    write_end.close();
    CHECK(puppet.read_line().find("\"end\":true") != std::string::npos);
}

TEST_CASE("who waits uses no processor, who spins does") {
    Started puppet;
    const auto before = puppet.process->cpu_time();
    CHECK_FALSE(puppet.process->wait(Deadline::in(milliseconds(150))));
    const auto idle = puppet.process->cpu_time() - before;
    puppet.tell(R"({"do":"spin"})");
    const auto spinning_from = puppet.process->cpu_time();
    bool seen = false;
    for (const Deadline deadline = Deadline::in(milliseconds(10000)); !seen && !deadline.expired();)
        seen = puppet.process->cpu_time() - spinning_from > milliseconds(100);
    CHECK(idle < milliseconds(60));
    CHECK(seen);
}

#ifndef _WIN32
TEST_CASE("standing still is recognised, and so is its end") {
    auto [read_end, write_end] = judge::make_pipe();
    judge::StartRequest request;
    request.input = std::move(read_end);
    Started puppet(std::move(request));
    puppet.tell(R"({"do":"read","count":1})");
    std::string picture;
    for (const Deadline deadline = Deadline::in(milliseconds(10000)); !deadline.expired();) {
        picture = puppet.process->stillness();
        if (!picture.empty() && !puppet.process->wait(Deadline::in(milliseconds(20))) && picture == puppet.process->stillness())
            break;
    }
    CHECK_FALSE(picture.empty());
    write_end.close();
    puppet.read_line();
    CHECK(puppet.process->stillness() != picture);
}

TEST_CASE("a confined subject is no privileged user and cannot see what is hidden") {
    const std::string secret = judge::make_private_directory();
    judge::Listener listener(secret);  // a file in there, to be seen or not
    judge::StartRequest request;
    request.command = {"/bin/sh", "-c", "grep -c 'CapEff:.0000000000000000' /proc/self/status; ls " + secret + " 2>/dev/null | wc -l"};
    request.confined = true;
    request.hidden = {secret};
    auto [read_end, write_end] = judge::make_pipe();
    request.output = std::move(write_end);
    judge::Process shell = judge::Process::start(std::move(request));
    char buffer[64];
    std::string said;
    while (const std::size_t count = read_end.read(buffer, sizeof buffer))
        said.append(buffer, count);
    CHECK(said == "1\n0\n");
    CHECK(shell.wait(Deadline::in(milliseconds(10000))));
    std::filesystem::remove_all(secret);
}
#endif
