// The judge's own peers on Windows, and what only the win32 track has.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include <windows.h>

namespace judge {
namespace {

std::wstring path_of(const std::string& name) { return L"\\\\.\\mailslot\\ipc-labs\\" + ipc::to_wide(name); }

ipc::unique_file open_for_writing(const std::string& name) {
    return ipc::unique_file(CreateFileW(path_of(name).c_str(), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr, OPEN_EXISTING,
                                        FILE_FLAG_OVERLAPPED, nullptr));
}

}  // namespace

Start slots_here(Stage&) { return {}; }

struct RawSlot::State {
    Stage& stage;
    std::string name;
    ipc::unique_file slot;
};

RawSlot::RawSlot(Stage& stage, const std::string& name)
    : state_(new State{stage, name, ipc::unique_file(CreateMailslotW(path_of(name).c_str(), 0, 0, nullptr))}) {
    if (!state_->slot)
        ipc::throw_last_error("CreateMailslotW", name);
}
RawSlot::RawSlot(RawSlot&&) noexcept = default;
RawSlot::~RawSlot() = default;

const std::string& RawSlot::name() const { return state_->name; }

std::optional<std::string> RawSlot::take(Deadline deadline) {
    SetMailslotInfo(state_->slot.get(), deadline.wait_ms());
    std::string message(1 << 20, '\0');
    DWORD size = 0;
    if (!ReadFile(state_->slot.get(), message.data(), static_cast<DWORD>(message.size()), &size, nullptr))
        return std::nullopt;
    message.resize(size);
    return message;
}

std::string RawSlot::takes(const Mistake& otherwise) {
    const auto look = [] { return Deadline::in(milliseconds(40)); };  // what a dead sender has sent is there already
    std::optional<std::string> message;
    state_->stage.await([&](Deadline) { message = take(look()); return message.has_value(); },
                        "a message comes into the slot " + state_->name, otherwise);
    return *message;
}

bool RawSlot::empty() {
    DWORD next = 0;
    GetMailslotInfo(state_->slot.get(), nullptr, &next, nullptr, nullptr);
    return next == MAILSLOT_NO_MESSAGE;
}

bool RawSlot::fill() {
    for (int i = 0; i < 5000; ++i)
        if (!raw_post(state_->stage, state_->name, "x"))
            return true;
    return false;
}

void RawSlot::die() { state_->slot.reset(); }
void RawSlot::close() { state_->slot.reset(); }

bool raw_post(Stage& stage, const std::string& name, std::string_view message) {
    const ipc::unique_file slot = open_for_writing(name);
    stage.require(static_cast<bool>(slot), {"a mailslot \\\\.\\mailslot\\ipc-labs\\" + name + " that takes messages",
                                            slot ? "" : "CreateFileW says: " + ipc::last_error().message(), "", "", ""});
    const ipc::unique_handle done(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    OVERLAPPED writing{};
    writing.hEvent = done.get();
    DWORD size = 0;
    if (!WriteFile(slot.get(), message.data(), static_cast<DWORD>(message.size()), nullptr, &writing)) {
        if (GetLastError() != ERROR_IO_PENDING)
            return false;
        CancelIoEx(slot.get(), &writing);
    }
    return GetOverlappedResult(slot.get(), &writing, &size, TRUE);
}

bool owned(Stage&, const std::string& name) { return static_cast<bool>(open_for_writing(name)); }

std::size_t longest_name(Stage&) { return 64; }

std::string slots_left(Stage&) { return {}; }  // Windows removes them

}  // namespace judge

using namespace judge;

EXERCISE("Exercise 2: sizes and time") {

CASE("3.20 another sender who has the slot open is not in the way" * points(5) * section("many-senders") *
     hints("Somebody else is just posting into the same slot. What does CreateFileW say to you?",
           "Under Wine ERROR_SHARING_VIOLATION, if you do not agree to share with him what he is doing: writing.",
           "FILE_SHARE_READ | FILE_SHARE_WRITE.")) {
    stage.recognise("CreateFileW.*haring violation", "exclusive-writer");
    const std::string name = stage.name("slot"), text = stage.random().word(20);
    Subject lab = stage.start({"listen", name, "--count", "1"});
    lab.ready();
    const ipc::unique_file other = open_for_writing(name);
    stage.require(static_cast<bool>(other), {"a mailslot " + name, "none", "", "", ""});
    Subject post = stage.start({"post", name, text});
    post.exits(0, "exclusive-writer");
    lab.prints("ready\n20 " + text + "\n");
    lab.exits(0);
}

CASE("3.21 a killed listener leaves nothing and its name is free at once" * points(3) * section("a-slot-has-one-owner") *
     hints("Who closes the handles of a process that was killed?",
           "The system does, and with the last handle the slot goes, and what waited in it.",
           "Nothing to do: just do not remember names anywhere else than in the mailslot itself.")) {
    const std::string name = stage.name("slot"), text = stage.random().word(20);
    Subject first = stage.start({"listen", name, "--info"});
    first.ready();
    raw_post(stage, name, "unread");
    first.process().kill();
    first.ends();
    Subject nobody = stage.start({"post", name, "hello"});
    nobody.exits(1);
    nobody.complains("nobody listens");
    Subject second = stage.start({"listen", name, "--count", "1"});
    second.ready();
    raw_post(stage, name, text);
    second.prints("ready\n20 " + text + "\n");
    second.exits(0);
}

CASE("3.22 the slot itself refuses what is too long" * points(3) * section("too-long") * windows_only("Wine does not enforce a slot's maximum") *
     hints("Your post() checks the length. And somebody else's?",
           "The owner decides what his slot takes, and the system keeps to it.",
           "CreateMailslotW(name, longest_message, ...).")) {
    const std::string name = stage.name("slot");
    Subject lab = stage.start({"listen", name, "--timeout", "0", "--info"});
    lab.ready();
    const bool sent = raw_post(stage, name, std::string(65537, 'x'));
    stage.require(!sent, {"the slot refuses 65537 bytes", "it takes them", "", "", ""});
    lab.close_input();
    lab.prints("ready\n");
    lab.exits(3);
}

CASE("3.23 look tells how many messages wait" * points(3) * section("ask-before-you-take") * windows_only("Wine says 1 however many wait") *
     hints("GetMailslotInfo gives two numbers. Which is which?", "The size of the next one, and how many there are.",
           "The third argument is lpNextSize, the fourth lpMessageCount.")) {
    const std::string name = stage.name("slot");
    const std::size_t count = stage.random().between(3, 9);
    Subject lab = stage.start({"listen", name, "--timeout", "0", "--info"});
    lab.ready();
    for (std::size_t i = 0; i < count; ++i)
        raw_post(stage, name, "hello");
    lab.feed("\n");
    const std::string got = lab.line(), expected = "next 5 waiting " + std::to_string(count);
    stage.require(got == expected, {"the line " + shown(expected), shown(got), "", "", ""});
    lab.close_input();
    lab.exits(3);
}

}
