// The judge's own peers on Windows named pipes, and what only the win32 track has.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <aclapi.h>
#include <algorithm>
#include <deque>
#include <sddl.h>

using namespace judge;
using namespace peers;

namespace peers {
namespace {

std::wstring path_of(const std::string& name) { return L"\\\\.\\pipe\\" + ipc::to_wide(name); }

bool gone(DWORD error) { return error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA || error == ERROR_PIPE_NOT_CONNECTED; }

// One overlapped call. Its buffer lives as long as it does, and it is over when it goes.
class Call {
public:
    explicit Call(HANDLE pipe) : pipe_(pipe), event_(CreateEventW(nullptr, TRUE, FALSE, nullptr)) {}
    Call(const Call&) = delete;
    ~Call() {
        if (!pending_)
            return;
        CancelIoEx(pipe_, &overlapped_);
        GetOverlappedResult(pipe_, &overlapped_, &count, TRUE);
    }
    void connect() { begun(ConnectNamedPipe(pipe_, begin())); }
    void read(std::size_t size) {
        bytes.resize(size);
        begun(ReadFile(pipe_, bytes.data(), static_cast<DWORD>(size), nullptr, begin()));
    }
    void write(std::string text) {
        bytes = std::move(text);
        begun(WriteFile(pipe_, bytes.data(), static_cast<DWORD>(bytes.size()), nullptr, begin()));
    }
    /// False when the deadline came first; otherwise error and count tell.
    bool wait(Deadline deadline) {
        if (!pending_)
            return true;
        if (WaitForSingleObject(event_.get(), deadline.wait_ms()) != WAIT_OBJECT_0)
            return false;
        pending_ = false;
        error = GetOverlappedResult(pipe_, &overlapped_, &count, FALSE) ? ERROR_SUCCESS : GetLastError();
        return true;
    }

    std::string bytes;
    DWORD error = ERROR_SUCCESS, count = 0;

private:
    OVERLAPPED* begin() {
        overlapped_ = {};
        overlapped_.hEvent = event_.get();
        ResetEvent(event_.get());
        return &overlapped_;
    }
    void begun(BOOL done) {
        error = done ? ERROR_SUCCESS : GetLastError();
        pending_ = done || error == ERROR_IO_PENDING || error == ERROR_MORE_DATA;
        if (error == ERROR_MORE_DATA)
            SetEvent(event_.get());
        if (error == ERROR_PIPE_CONNECTED)
            error = ERROR_SUCCESS;
    }

    HANDLE pipe_;
    ipc::unique_handle event_;
    OVERLAPPED overlapped_{};
    bool pending_ = false;
};

// A pipe's end with what is still on its way out: the judge never waits for a reader that it has stopped itself.
struct End {
    ipc::unique_file pipe;
    std::deque<std::unique_ptr<Call>> sent;

    void send(const std::string& text) {
        sent.push_back(std::make_unique<Call>(pipe.get()));
        sent.back()->write(text);
    }
    void close() {
        sent.clear();
        pipe.reset();
    }
    ~End() { close(); }
};

void expect_sent(Stage& stage, End& end, const Mistake& on_hang) {
    for (const auto& call : end.sent) {
        stage.await([&](Deadline deadline) { return call->wait(deadline); }, "the lab program reads", on_hang);
        stage.require(call->error == ERROR_SUCCESS || !gone(call->error),
                      {"the lab program reads all that is written to it", "it has closed the pipe before", "", "", on_hang});
    }
    end.sent.clear();
}

std::string next_message(Stage& stage, End& end, const std::string& what, const Mistake& on_hang) {
    std::string message;
    for (;;) {
        Call call(end.pipe.get());
        call.read(64 * 1024);
        stage.await([&](Deadline deadline) { return call.wait(deadline); }, what, on_hang);
        if (gone(call.error))
            stage.fail({what, "the lab program has closed the pipe", "", "", on_hang});
        if (call.error != ERROR_SUCCESS && call.error != ERROR_MORE_DATA)
            ipc::throw_error(static_cast<int>(call.error), "ReadFile", "the judge's end of the pipe");
        message.append(call.bytes.data(), call.count);
        if (call.error == ERROR_SUCCESS)
            return message;
    }
}

ipc::unique_file instance(const std::string& name, DWORD access) {
    ipc::unique_file pipe(CreateNamedPipeW(path_of(name).c_str(), access | FILE_FLAG_OVERLAPPED,
                                           PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS, 1, 4096, 4096, 0, nullptr));
    if (!pipe)
        ipc::throw_last_error("CreateNamedPipe", name);
    return pipe;
}

// Nothing announces that a pipe's name has appeared: the judge asks, as fast as it can, so that it is there before the
// maker of the pipe expects anybody.
ipc::unique_file connect(Stage& stage, const std::string& name, DWORD access, const std::string& what, const Mistake& on_hang) {
    ipc::unique_file pipe;
    const std::wstring path = path_of(name);
    stage.await([&](Deadline deadline) {
        do {
            for (int i = 0; i < 50; ++i) {
                pipe.reset(CreateFileW(path.c_str(), access, 0, nullptr, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, nullptr));
                if (pipe)
                    return true;
                const DWORD error = GetLastError();
                if (error == ERROR_ACCESS_DENIED)
                    stage.fail({what, "CreateFile on the pipe: access denied", "", "", on_hang});
                if (error == ERROR_PIPE_BUSY)
                    WaitNamedPipeW(path.c_str(), 5);
            }
            Sleep(0);
        } while (!deadline.expired());
        return false;
    }, what, on_hang);
    return pipe;
}

std::string own_user() {
    HANDLE opened = nullptr;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &opened))
        ipc::throw_last_error("OpenProcessToken");
    const ipc::unique_handle token(opened);
    alignas(TOKEN_USER) char user[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    DWORD size = 0;
    if (!GetTokenInformation(token.get(), TokenUser, user, sizeof user, &size))
        ipc::throw_last_error("GetTokenInformation", "TokenUser");
    char* text = nullptr;
    ConvertSidToStringSidA(reinterpret_cast<TOKEN_USER*>(user)->User.Sid, &text);
    const std::string sid = text;
    LocalFree(text);
    return sid;
}

// "(A;;FA;;;S-1-5-21-…)" for each entry of the pipe's access list.
std::string access_list(HANDLE pipe) {
    PACL list = nullptr;
    PSECURITY_DESCRIPTOR descriptor = nullptr;
    if (const DWORD error = GetSecurityInfo(pipe, SE_KERNEL_OBJECT, DACL_SECURITY_INFORMATION, nullptr, nullptr, &list, nullptr, &descriptor))
        ipc::throw_error(static_cast<int>(error), "GetSecurityInfo", "DACL of the pipe");
    char* text = nullptr;
    ConvertSecurityDescriptorToStringSecurityDescriptorA(descriptor, SDDL_REVISION_1, DACL_SECURITY_INFORMATION, &text, nullptr);
    const std::string result = !list ? "no list at all: everybody may do everything" : text ? text : "";
    LocalFree(text);
    LocalFree(descriptor);
    return result;
}

// Nobody but the user who runs the program may open the pipe.
void is_for_this_user(Stage& stage, HANDLE pipe) {
    const std::string user = own_user(), list = access_list(pipe);
    bool fine = list.starts_with("D:") && list.find(";;;" + user + ")") != std::string::npos;
    for (std::size_t at = list.find(";;;"); at != std::string::npos; at = list.find(";;;", at + 1))
        fine = fine && list.compare(at + 3, user.size() + 1, user + ")") == 0;
    stage.require(fine, {"an access list for " + user + " alone", list, "", "", "open-to-everybody"});
}

}  // namespace

std::string fresh_name(Stage& stage) { return stage.name("pipe"); }
void expect_name_and_remove(Stage&, const std::string&) {}  // a pipe's name goes with its last handle

bool name_exists(Stage&, const std::string& name) {
    return WaitNamedPipeW(path_of(name).c_str(), 1) || GetLastError() != ERROR_FILE_NOT_FOUND;
}

// ---- writer and reader ----------------------------------------------------------------------------------------------

struct Writer::State {
    End end;
    std::string begun;
    Mistake on_hang;
};

Writer::Writer(Stage& stage, const std::string& name, const Mistake& on_hang) : stage_(stage), state_(new State) {
    state_->end.pipe = connect(stage, name, GENERIC_WRITE, "the lab program makes the pipe and waits for a writer", on_hang);
}
Writer::~Writer() = default;
void Writer::begin_message(const std::string& text) { state_->begun = text; }
void Writer::message(const std::string& text, const Mistake& on_hang) {
    state_->on_hang = on_hang;
    state_->end.send(std::exchange(state_->begun, {}) + text);
}
bool Writer::settled() {
    return std::all_of(state_->end.sent.begin(), state_->end.sent.end(), [](const auto& call) { return call->wait(Deadline::in(milliseconds(0))); });
}
void Writer::close() {
    expect_sent(stage_, state_->end, state_->on_hang);
    state_->end.close();
}

struct Reader::State {
    End end;
};

Reader::Reader(Stage& stage, const std::string& name, const Mistake& on_hang) : stage_(stage), state_(new State) {
    state_->end.pipe = instance(name, PIPE_ACCESS_INBOUND);
    Call call(state_->end.pipe.get());
    call.connect();
    stage.await([&](Deadline deadline) { return call.wait(deadline); }, "the lab program connects to the pipe", on_hang);
}
Reader::~Reader() = default;
void Reader::close() { state_->end.close(); }
std::string Reader::message(const Mistake& on_hang) { return next_message(stage_, state_->end, "a message from the lab program", on_hang); }

void Reader::taste() {
    Call call(state_->end.pipe.get());
    call.read(10);
    stage_.await([&](Deadline deadline) { return call.wait(deadline); }, "the lab program writes", "");
}

void Reader::end(const Mistake& on_hang) {
    Call call(state_->end.pipe.get());
    call.read(100);
    stage_.await([&](Deadline deadline) { return call.wait(deadline); }, "the lab program closes the pipe", on_hang);
    stage_.require(gone(call.error), {"nothing behind the message", shown(call.bytes.substr(0, call.count)), "", "", ""});
}

// ---- client and server ------------------------------------------------------------------------------------------------

struct Client::State {
    Stage& stage;
    End end;
};

Client::Client(Stage& stage, const std::string& name) : state_(new State{stage, {}}) {
    const std::string next = "the server has an instance for the next client";
    stage.recognise("expected: " + next + "\ngot: it ended", "dies-with-its-client");
    state_->end.pipe = connect(stage, name, GENERIC_READ | GENERIC_WRITE, next, "one-client-at-a-time");
    DWORD mode = PIPE_READMODE_MESSAGE;
    stage.require(SetNamedPipeHandleState(state_->end.pipe.get(), &mode, nullptr, nullptr),
                  {"the server's pipe keeps messages apart", "SetNamedPipeHandleState: " + ipc::last_error().message(), "", "", "bytes-instead-of-messages"});
}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;
unsigned long Client::id() const { return GetCurrentProcessId(); }
void Client::ask(const std::string& text, const Mistake&) { state_->end.send(text); }
bool Client::ask_if_room(const std::string& text) {
    ask(text);
    return true;
}
std::string Client::answer(const Mistake& on_hang) { return next_message(state_->stage, state_->end, "an answer for the judge, its client", on_hang); }
void Client::flood(const std::string& text, int count, const Mistake& on_hang) {
    for (int i = 0; i < count; ++i)
        ask(text, on_hang);
}

struct Server::State {
    Stage& stage;
    End end;
    std::unique_ptr<Call> connecting;
};

Server::Server(Stage& stage, const std::string& name) : state_(new State{stage, {}, nullptr}) {
    state_->end.pipe = instance(name, PIPE_ACCESS_DUPLEX);
    state_->connecting = std::make_unique<Call>(state_->end.pipe.get());
    state_->connecting->connect();
}
Server::~Server() { close(); }
void Server::make_room() {}

void Server::expect_open_ears(unsigned long client, const Mistake& otherwise) {
    state_->stage.await([&](Deadline deadline) { return state_->connecting->wait(deadline); }, "the lab program connects to the pipe", otherwise);
    ULONG found = 0;
    GetNamedPipeClientProcessId(state_->end.pipe.get(), &found);
    state_->stage.require(found == client, {"process " + std::to_string(client) + " is the client", "process " + std::to_string(found), "", "", ""});
}

std::string Server::request(unsigned long client, const Mistake& on_hang) {
    expect_open_ears(client, on_hang);
    return next_message(state_->stage, state_->end, "a request from the lab program", on_hang);
}

void Server::answer(const std::string& text, const Mistake&) { state_->end.send(text); }

void Server::close() {
    state_->connecting.reset();
    state_->end.close();
}

// ---- crowds and boors ---------------------------------------------------------------------------------------------------

struct RudeClients::State {
    std::vector<Client> silent;
};

RudeClients::RudeClients(Stage& stage, const std::string& name) : state_(new State) {
    // Rude they may be, but none of another user.
    is_for_this_user(stage, connect(stage, name, GENERIC_READ | GENERIC_WRITE | READ_CONTROL, "the server has an instance for the next client", "").get());
    for (int i = 0; i < 3; ++i)
        Client(stage, name);  // comes and goes
    for (int i = 0; i < 3; ++i)
        Client(stage, name).ask("anybody there?");  // does not wait for the answer
    for (int i = 0; i < 3; ++i)
        state_->silent.emplace_back(stage, name);
    state_->silent[1].ask("");
    state_->silent[2].ask(stage.random().word(20'000));
}
RudeClients::~RudeClients() = default;

std::vector<Asked> crowd(Stage& stage, Subject&, const std::string& name, const std::vector<std::string>& texts, const Mistake& on_hang) {
    std::vector<Client> clients;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        clients.emplace_back(stage, name);
        clients.back().ask(texts[i]);
    }
    std::vector<Asked> all;
    for (std::size_t i = 0; i < texts.size(); ++i)
        all.push_back({clients[i].id(), texts[i], clients[i].answer(on_hang)});
    return all;
}

}  // namespace peers

// ---- the cases of this track ---------------------------------------------------------------------------------------------

namespace {

// Keeps the lab program on the threshold of ConnectNamedPipe, where a scheduler's whim could have kept it as well: its first
// instruction becomes a jump to itself. A system library lies at the same address in all processes.
class Threshold {
public:
    Threshold(Stage& stage, Subject& lab)
        : subject_(lab.process()), process_(OpenProcess(PROCESS_VM_OPERATION | PROCESS_VM_READ | PROCESS_VM_WRITE, FALSE, lab.process().id())),
          place_(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), "ConnectNamedPipe"))) {
        // The library is not there before the process has come to load it.
        stage.await([&](Deadline deadline) {
            while (!held_ && !deadline.expired()) {
                held_ = ReadProcessMemory(process_.get(), place_, before_, sizeof before_, nullptr) && put(jump_to_itself_);
                if (!held_)
                    SwitchToThread();
            }
            return held_;
        }, "the lab program loads kernelbase.dll", "");
    }
    ~Threshold() { let_in(); }
    void let_in() {
        if (!std::exchange(held_, false))
            return;
        // Stopped, or it could run into one new byte and one old one.
        subject_.suspend();
        put(before_);
        subject_.resume();
    }

private:
    bool put(const unsigned char* bytes) {
        const bool done = WriteProcessMemory(process_.get(), place_, bytes, sizeof before_, nullptr);
        FlushInstructionCache(process_.get(), place_, sizeof before_);
        return done;
    }
    static constexpr unsigned char jump_to_itself_[2] = {0xeb, 0xfe};
    Process& subject_;
    ipc::unique_handle process_;
    void* place_;
    unsigned char before_[2]{};
    bool held_ = false;
};

}  // namespace

EXERCISE("Exercise 1: one message") {

CASE("2.4 write waits while the reader is busy with another writer" * points(4) * section("nobody-there") *
     hints("The name is there, and CreateFileW still fails. What does the error say?",
           "ERROR_PIPE_BUSY: each instance of the pipe has its writer already. That is no reason to give up, nor to spin.",
           "WaitNamedPipeW with what is left of your time (but never 0, which means the server's default), then CreateFileW again: another may have been quicker.")) {
    stage.recognise("expected: lab program waits\ngot: it ended", "busy-is-an-error");
    stage.recognise("waits in WaitNamedPipe", "busy-without-deadline");
    stage.patience(milliseconds(5000));
    const std::string name = fresh_name(stage);
    const ipc::unique_file pipe(CreateNamedPipeW(path_of(name).c_str(), PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED,
                                                 PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE, 1, 4096, 4096, 0, nullptr));
    const ipc::unique_file other(CreateFileW(path_of(name).c_str(), GENERIC_WRITE, 0, nullptr, OPEN_EXISTING, 0, nullptr));
    if (!pipe || !other)
        ipc::throw_last_error("CreateNamedPipe", name);
    const std::string text = stage.random().word(20);
    Subject patient = stage.start({"write", name, text});
    Subject hurried = stage.start({"write", "--timeout", "100", name, "too late"});
    hurried.fails("waits-without-deadline, busy-without-deadline");
    stage.require(patient.running(), {"write waits until the pipe is free", "it ended", "", "", "busy-is-an-error"});
    patient.idles("busy-waiting");
    DisconnectNamedPipe(pipe.get());
    Call call(pipe.get());
    call.connect();
    stage.await([&](Deadline deadline) { return call.wait(deadline); }, "the lab program connects when the pipe is free", "busy-is-an-error");
    Call reading(pipe.get());
    reading.read(1000);
    stage.await([&](Deadline deadline) { return reading.wait(deadline); }, "the message", "");
    const std::string got = reading.bytes.substr(0, reading.count);
    stage.require(got == text, {shown(text), difference(got, text), "", "", ""});
    patient.exits(0);
}

}

EXERCISE("Exercise 2: messages") {

CASE("2.7 read and serve hear a writer who was quicker than themselves" * points(4) * section("the-quick-client") *
     hints("Between CreateNamedPipeW and ConnectNamedPipe the pipe has a name. Who may use it?",
           "A writer may connect in between; he may even have written and gone. ConnectNamedPipe then fails, and nothing is wrong.",
           "Take ERROR_PIPE_CONNECTED for success, and ERROR_NO_DATA as well: what was written is still there to be read.")) {
    stage.recognise("ConnectNamedPipe", "connected-is-an-error");
    const std::string name = fresh_name(stage), left = fresh_name(stage), served = fresh_name(stage);
    Subject lab = stage.start({"read", name});
    Threshold at_lab(stage, lab);
    Subject late = stage.start({"read", left});
    Threshold at_late(stage, late);
    Subject server = stage.start({"serve", served});
    Threshold at_server(stage, server);
    const std::string text = stage.random().word(20), last_words = stage.random().word(20);
    Writer writer(stage, name), gone(stage, left);
    Client client(stage, served);
    writer.message(text);
    gone.message(last_words);
    client.ask(text);
    // A pipe may be made without buffers of its own; then the writer has to stay until he is read.
    if (gone.settled())
        gone.close();
    else
        at_late.let_in();
    for (Threshold* one : {&at_lab, &at_late, &at_server})
        one->let_in();
    const auto received = [](Subject& reader, const std::string& what) {
        return "I pid [" + std::to_string(reader.process().id()) + "] received a message => " + what + "\n";
    };
    lab.output_of(received(lab, text).size());
    writer.close();
    late.output_of(received(late, last_words).size());
    gone.close();
    lab.prints(received(lab, text));
    lab.exits(0);
    late.prints(received(late, last_words));
    late.exits(0);
    client.answer();
    stop(server);
}

CASE("2.11 the access list names the user who runs the program and nobody else" * points(3) * section("who-may-come-in") *
     hints("Who else on this machine may open your pipe?",
           "Without a security descriptor of your own the default one applies: it lets everybody read.",
           "ConvertStringSecurityDescriptorToSecurityDescriptorW of D:P(A;;GA;;;SID), with your own SID from the process token, into SECURITY_ATTRIBUTES.")) {
    const std::string name = fresh_name(stage);
    Subject reader = stage.start({"read", name});
    {
        const ipc::unique_file pipe = connect(stage, name, GENERIC_WRITE | READ_CONTROL, "the lab program makes the pipe", "");
        is_for_this_user(stage, pipe.get());
    }
    reader.exits(0);
}

}

EXERCISE("Exercise 4: serve") {

CASE("2.21 serve refuses a name that somebody serves already" * points(2) * section("the-name-and-the-thing") *
     windows_only("Wine ignores FILE_FLAG_FIRST_PIPE_INSTANCE") *
     hints("Somebody has made a pipe of that name before you. Whose clients will you get?",
           "Some of his, and he some of yours: the instances of one name may belong to several processes.",
           "FILE_FLAG_FIRST_PIPE_INSTANCE for the first instance that you make; it fails with ERROR_ACCESS_DENIED if there is one.")) {
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    lab.ready();
    Subject second = stage.start({"serve", name});
    second.fails("");
    second.prints("", "");
    Client client(stage, name);
    client.ask("still there?");
    client.answer("");
    stop(lab);
}

CASE("2.22 serve refuses clients from other machines" * points(1) * section("who-may-come-in") *
     windows_only("Wine has no named pipes over the network") *
     hints("A pipe's name can be written with a machine in front: \\\\machine\\pipe\\name. Who can do that?",
           "Everybody on your network, unless the pipe says no.",
           "PIPE_REJECT_REMOTE_CLIENTS in CreateNamedPipeW's dwPipeMode.")) {
    const std::string name = fresh_name(stage);
    Subject lab = stage.start({"serve", name});
    lab.ready();
    const std::wstring from_afar = L"\\\\127.0.0.1\\pipe\\" + ipc::to_wide(name);
    const ipc::unique_file pipe(CreateFileW(from_afar.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING, 0, nullptr));
    stage.require(!pipe, {"nobody can open the pipe over the network", "it has been opened as \\\\127.0.0.1\\pipe\\" + name, "", "", ""});
    stop(lab);
}

}
