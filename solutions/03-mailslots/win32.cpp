// Lab 03, win32 track: the reference solution.

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include <charconv>
#include <stdexcept>
#include <windows.h>

namespace mailslots {
namespace {

void check_name(const std::string& name) {
    const bool fine = !name.empty() && name.size() <= longest_name && name[0] != '.' &&
                      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == std::string::npos;
    if (!fine)
        throw std::invalid_argument("a slot's name is 1 to 64 letters, digits, '.', '-' or '_', not beginning with '.'; not '" + name + "'");
}

// A mailslot that somebody else owns, opened for one message; none if nobody owns it.
ipc::unique_file open_for_writing(const std::string& path) {
    // Another sender may have it open at the same time: share what he does, too. Windows does not insist on it, Wine does.
    ipc::unique_file slot(::CreateFileW(ipc::to_wide(path).c_str(), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                                        OPEN_EXISTING, FILE_FLAG_OVERLAPPED, nullptr));
    if (!slot && ::GetLastError() != ERROR_FILE_NOT_FOUND)
        ipc::throw_last_error("CreateFileW", path);
    return slot;
}

}  // namespace

std::string address(const std::string& name) {
    check_name(name);
    return "\\\\.\\mailslot\\ipc-labs\\" + name;
}

Slot open_slot(const std::string& name) {
    Slot slot{address(name), {}};
    // Windows keeps one owner to a name, and removes the name with him: here is nothing to take over.
    slot.mailbox.reset(::CreateMailslotW(ipc::to_wide(slot.address).c_str(), longest_message, MAILSLOT_WAIT_FOREVER, nullptr));
    if (!slot.mailbox)
        ipc::throw_last_error("CreateMailslotW", ::GetLastError() == ERROR_ALREADY_EXISTS
                                                     ? slot.address + " has an owner; end that listener or take another name"
                                                     : slot.address);
    return slot;
}

std::optional<std::string> receive(Slot& slot, ipc::Deadline deadline) {
    if (!::SetMailslotInfo(slot.mailbox.get(), deadline.wait_ms()))
        ipc::throw_last_error("SetMailslotInfo", slot.address);
    // As large as the slot's largest message: into a smaller buffer ReadFile() refuses to read.
    std::string message(longest_message, '\0');
    DWORD size = 0;
    if (!::ReadFile(slot.mailbox.get(), message.data(), static_cast<DWORD>(message.size()), &size, nullptr)) {
        if (::GetLastError() == ERROR_SEM_TIMEOUT)
            return std::nullopt;
        ipc::throw_last_error("ReadFile", slot.address);
    }
    message.resize(size);
    return message;  // empty is a message like any other: a mailslot has no end of file
}

Waiting look(Slot& slot) {
    DWORD next = 0, count = 0;
    if (!::GetMailslotInfo(slot.mailbox.get(), nullptr, &next, &count, nullptr))
        ipc::throw_last_error("GetMailslotInfo", slot.address);
    if (next == MAILSLOT_NO_MESSAGE)
        return {std::nullopt, 0};
    return {next, count};
}

void close_slot(Slot& slot) {
    slot.mailbox.reset();  // the name goes with the handle
}

Delivery post(const std::string& name, std::string_view message, ipc::Deadline deadline) {
    const std::string path = address(name);
    if (message.size() > longest_message)
        ipc::throw_error(ERROR_MESSAGE_EXCEEDS_MAX_SIZE, "post", "a message has at most 65536 bytes");
    const ipc::unique_file slot = open_for_writing(path);
    if (!slot)
        return Delivery::nobody;

    // Overlapped, so that a system whose slots can be full does not hold us for ever.
    const ipc::unique_handle done(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    if (!done)
        ipc::throw_last_error("CreateEventW");
    OVERLAPPED writing{};
    writing.hEvent = done.get();
    const bool at_once = ::WriteFile(slot.get(), message.data(), static_cast<DWORD>(message.size()), nullptr, &writing);
    if (!at_once && ::GetLastError() != ERROR_IO_PENDING)
        ipc::throw_last_error("WriteFile", path);
    if (!at_once && ::WaitForSingleObject(done.get(), deadline.wait_ms()) == WAIT_TIMEOUT)
        ::CancelIoEx(slot.get(), &writing);

    // Only now it is certain: the cancellation may have come too late, and `writing` is the system's until it says so.
    DWORD size = 0;
    if (::GetOverlappedResult(slot.get(), &writing, &size, TRUE))
        return Delivery::delivered;
    if (::GetLastError() == ERROR_OPERATION_ABORTED)
        return Delivery::full;
    ipc::throw_last_error("WriteFile", path);
}

std::vector<Missed> broadcast(std::string_view message, const std::vector<std::string>& names) {
    std::vector<Missed> missed;
    for (const std::string& name : names) {
        try {
            const Delivery delivery = post(name, message, ipc::Deadline::in_ms(0));
            if (delivery != Delivery::delivered)
                missed.push_back({name, text(delivery)});
        } catch (const std::exception& error) {
            missed.push_back({name, error.what()});
        }
    }
    return missed;
}

std::string numbered(const Numbered& message) {
    return "#" + message.sender + " " + std::to_string(message.number) + " " + message.text;
}

std::optional<Numbered> parse_numbered(std::string_view message) {
    const std::size_t first = message.find(' ');
    const std::size_t second = first == std::string_view::npos ? first : message.find(' ', first + 1);
    if (!message.starts_with('#') || first < 2 || second == std::string_view::npos)
        return std::nullopt;
    const std::string_view digits = message.substr(first + 1, second - first - 1);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), number);
    if (error != std::errc() || end != digits.end() || digits.size() > 20 || number == 0)
        return std::nullopt;
    return Numbered{std::string(message.substr(1, first - 1)), number, std::string(message.substr(second + 1))};
}

News enter(Seen& seen, std::uint64_t number) {
    if (number > seen.highest) {
        const std::uint64_t due = seen.highest + 1;
        seen.highest = number;
        if (number == due)
            return {News::Kind::next, 0, 0};
        seen.holes[due] = number - 1;
        return {News::Kind::gap, due, number - 1};
    }
    auto hole = seen.holes.upper_bound(number);
    if (hole == seen.holes.begin() || (--hole)->second < number)
        return {News::Kind::duplicate, 0, 0};
    // What is left of the hole: a piece before the number, a piece behind it, or nothing.
    const auto [first, last] = *hole;
    seen.holes.erase(hole);
    if (first < number)
        seen.holes[first] = number - 1;
    if (number < last)
        seen.holes[number + 1] = last;
    return {News::Kind::late, 0, 0};
}

}  // namespace mailslots
