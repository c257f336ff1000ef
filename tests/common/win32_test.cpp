// What only the Windows half of the harness promises.

#ifdef _WIN32

#include "handles_win32.hpp"
#include "ipc/text.hpp"
#include "judge.hpp"
#include "stage_state.hpp"
#include <windows.h>

#include <filesystem>
#include <shellapi.h>

using judge::Deadline;
using judge::milliseconds;

namespace {

class Puppet {
public:
    explicit Puppet(judge::StartRequest request = {}, std::vector<std::string> arguments = {}) {
        request.command = {judge::puppet_program(), listener_.endpoint()};
        request.command.insert(request.command.end(), arguments.begin(), arguments.end());
        process.emplace(judge::Process::start(std::move(request)));
        connection_ = listener_.accept(Deadline::in(milliseconds(20000)));
        REQUIRE(connection_);
        hello = answer();
    }
    void tell(const nlohmann::json& request) {
        const std::string line = request.dump() + "\n";
        REQUIRE(connection_->write(line.data(), line.size(), Deadline::in(milliseconds(10000))));
    }
    nlohmann::json answer() {
        std::string line;
        for (char c = 0; connection_->read(&c, 1, Deadline::in(milliseconds(10000))) && c != '\n';)
            line += c;
        return nlohmann::json::parse(line);
    }
    /// All sentences on its hang, once they contain `expected`, or after a long while.
    std::string explained(const std::string& expected) {
        std::string said;
        for (const Deadline deadline = Deadline::in(milliseconds(10000));
             !deadline.expired() && said.find(expected) == std::string::npos;) {
            said.clear();
            for (const std::string& sentence : judge::explain_hang(*process))
                said += sentence + "\n";
        }
        return said;
    }

private:
    judge::Listener listener_{""};
    std::optional<judge::Connection> connection_;

public:
    std::optional<judge::Process> process;
    nlohmann::json hello;
};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a command line is split as Windows splits it") {
    const HMODULE shell = LoadLibraryW(L"shell32.dll");
    REQUIRE(shell);
    const auto reference = reinterpret_cast<decltype(&CommandLineToArgvW)>(
        reinterpret_cast<void*>(GetProcAddress(shell, "CommandLineToArgvW")));
    judge::Random random(11);
    const std::wstring alphabet = L"ab \\\\\\\"\t\x00e4";
    for (int round = 0; round < 2000; ++round) {
        std::wstring line = round % 2 ? L"program " : L"\"C:\\a folder\\program.exe\" ";
        for (std::uint64_t length = random.next() % 14; length > 0; --length)
            line += alphabet[random.next() % alphabet.size()];
        if (contains(ipc::to_utf8(line), "\"\""))
            continue;  // two quotes in a row: the C runtime and the shell differ
        int count = 0;
        wchar_t** expected = reference(line.c_str(), &count);
        std::vector<std::string> all;
        for (int i = 0; i < count; ++i)
            all.push_back(ipc::to_utf8(expected[i]));
        LocalFree(expected);
        INFO(ipc::to_utf8(line));
        CHECK(ipc::split_command_line(line) == all);
    }
}

TEST_CASE("arguments, environment and directory arrive exactly") {
    const std::vector<std::string> odd = {"",
                                          " ",
                                          "a b",
                                          "\"",
                                          "\\",
                                          "\\\\",
                                          "a\\\"b",
                                          "ends in \\",
                                          "\\\\server\\share\\",
                                          "\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x90\x8d",
                                          "%PATH%",
                                          "a&b|c>d^e"};
    judge::StartRequest request;
    request.environment = {{"ipc_labs_new", "gr\xc3\xbc\xc3\x9f=e"}, {"TMP", std::nullopt}};
    request.directory = std::filesystem::temp_directory_path().string();
    Puppet puppet(std::move(request), odd);
    CHECK(puppet.hello.at("args") == nlohmann::json(odd));
    CHECK(puppet.hello.at("env").at("ipc_labs_new") == "gr\xc3\xbc\xc3\x9f=e");
    CHECK_FALSE(puppet.hello.at("env").contains("TMP"));
    CHECK(std::filesystem::path(puppet.hello.at("cwd").get<std::string>()) / "" ==
          std::filesystem::temp_directory_path());
}

TEST_CASE("a child inherits its three standard handles and nothing else, and the decoy if asked") {
    SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
    const ipc::unique_handle stray(CreateEventW(&inheritable, TRUE, FALSE, L"Local\\ipc-labs-test-stray"));
    for (const bool with_decoy : {false, true}) {
        judge::StartRequest request;
        request.with_decoy = with_decoy;
        Puppet puppet(std::move(request));
        puppet.tell({{"do", "descriptors"}});
        const std::vector<std::string> found = puppet.answer().at("descriptors");
        CHECK(puppet.process->decoy().empty() == !with_decoy);
        CHECK(std::count(found.begin(), found.end(), puppet.process->decoy()) == (with_decoy ? 1 : 0));
        for (const std::string& handle : found)
            CHECK_FALSE(contains(handle, "stray"));
    }
}

TEST_CASE("each way to wait is told by its call, object and holder") {
    SUBCASE("a full pipe") {
        auto [read_end, write_end] = judge::make_pipe();
        judge::StartRequest request;
        request.output = std::move(write_end);
        Puppet puppet(std::move(request));
        puppet.tell({{"do", "pour"}, {"count", 1 << 20}, {"seed", 1}});
        const std::string said = puppet.explained("is full");
        INFO(said);
        CHECK(contains(said, "a pipe that is full, and whose read end is open in the judge"));
    }
    SUBCASE("the end of a child") {
        Puppet puppet;
        judge::Listener second("");
        puppet.tell({{"do", "spawn"}, {"endpoint", second.endpoint()}});
        auto grandchild = second.accept(Deadline::in(milliseconds(20000)));
        REQUIRE(grandchild);
        puppet.answer();
        puppet.tell({{"do", "reap"}});
        const std::string said = puppet.explained("WaitForSingleObject");
        INFO(said);
        CHECK(contains(said, "waits in WaitForSingleObject for puppet (pid " +
                                 std::to_string(grandchild->peer_id()) + ") to end"));
    }
    SUBCASE("nothing") {
        Puppet puppet;
        puppet.tell({{"do", "hold"}});
        CHECK(contains(puppet.explained("sleeps"), " sleeps"));
    }
    SUBCASE("not at all") {
        Puppet puppet;
        puppet.tell({{"do", "spin"}});
        CHECK(contains(puppet.explained("running"), "is running, not waiting"));
    }
    SUBCASE("suspended") {
        Puppet puppet;
        puppet.process->suspend();
        CHECK(contains(puppet.explained("suspended"), "is suspended"));
        puppet.process->resume();
        puppet.tell({{"do", "exit"}, {"code", 3}});
        REQUIRE(puppet.process->wait(Deadline::in(milliseconds(10000))));
        CHECK(puppet.process->ended().code == 3);
    }
}

TEST_CASE("a process that is looked at while it moves bytes lives on") {
    auto [read_end, write_end] = judge::make_pipe();
    judge::StartRequest request;
    request.output = std::move(write_end);
    Puppet puppet(std::move(request));
    constexpr std::size_t count = 16 << 20;
    puppet.tell({{"do", "pour"}, {"count", count}, {"seed", 1}});
    std::vector<char> buffer(64 * 1024);
    std::size_t got = 0;
    for (int reads = 0; got < count; ++reads) {
        const std::size_t part = read_end.read(buffer.data(), buffer.size());
        REQUIRE(part > 0);
        got += part;
        if (reads % 64 == 0)
            judge::explain_hang(*puppet.process);
    }
    CHECK(puppet.answer().at("count") == count);
}

TEST_CASE("a read that nobody will answer can be given up") {
    auto [read_end, write_end] = judge::make_pipe();
    std::size_t got = 1;
    std::thread reader([&got, &from = read_end] {
        char byte = 0;
        got = from.read(&byte, 1);
    });
    read_end.abort();
    reader.join();
    CHECK(got == 0);
    auto [in, out] = judge::make_pipe();
    std::thread writer([&got, &to = out] {
        const std::string much(1 << 20, 'x');
        while ((got = to.write(much.data(), much.size())) > 0) {
        }
    });
    out.abort();
    writer.join();
    CHECK(got == 0);
}

TEST_CASE("the polite request reaches a handler, and ends who has none") {
    Puppet deaf, willing;
    deaf.tell({{"do", "ignore-polite"}});
    deaf.answer();
    deaf.process->terminate();
    willing.process->terminate();
    CHECK(willing.process->wait(Deadline::in(milliseconds(10000))));
    deaf.tell({{"do", "exit"}, {"code", 5}});
    REQUIRE(deaf.process->wait(Deadline::in(milliseconds(10000))));
    CHECK(deaf.process->ended().code == 5);
}

TEST_CASE("a judge lets no other process read, change or end it") {
    judge::prepare_case_process({});
    auto opens = [](DWORD rights) {
        return static_cast<bool>(ipc::unique_handle(OpenProcess(rights, FALSE, GetCurrentProcessId())));
    };
    CHECK(opens(PROCESS_QUERY_LIMITED_INFORMATION));
    for (DWORD right : {DWORD{PROCESS_VM_READ}, DWORD{PROCESS_VM_WRITE}, DWORD{PROCESS_DUP_HANDLE},
                        DWORD{PROCESS_TERMINATE}, DWORD{WRITE_DAC}, DWORD{WRITE_OWNER}})
        CHECK_FALSE(opens(right));
    CHECK_FALSE(ipc::unique_handle(OpenThread(THREAD_SET_CONTEXT, FALSE, GetCurrentThreadId())));
    auto [from, to] = judge::make_pipe();
    std::thread mover([&end = to] {
        end.write("x", 1);
        CHECK_FALSE(ipc::unique_handle(OpenThread(THREAD_SET_CONTEXT, FALSE, GetCurrentThreadId())));
    });
    mover.join();
}

TEST_CASE("a named pipe that is left open is found by its name") {
    const std::string token = judge::Random(GetTickCount64()).word(12);
    CHECK(judge::leftover_names(token).empty());
    const ipc::unique_file pipe(CreateNamedPipeW(ipc::to_wide("\\\\.\\pipe\\left-" + token).c_str(),
                                                 PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE, 1, 0, 0, 0, nullptr));
    REQUIRE(pipe);
    CHECK(judge::leftover_names(token) == std::vector<std::string>{"\\\\.\\pipe\\left-" + token});
}

#endif
