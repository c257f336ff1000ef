// Lab 03, win32 track: alternative: a completion port, and a thread for each receiver of a broadcast.

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include <charconv>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <vector>
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

    const ipc::unique_handle port(::CreateIoCompletionPort(slot.get(), nullptr, 0, 1));
    if (!port)
        ipc::throw_last_error("CreateIoCompletionPort", path);
    OVERLAPPED writing{};
    if (!::WriteFile(slot.get(), message.data(), static_cast<DWORD>(message.size()), nullptr, &writing) && ::GetLastError() != ERROR_IO_PENDING)
        ipc::throw_last_error("WriteFile", path);

    // One packet comes in any case: of the write, or of its cancellation.
    DWORD size = 0;
    ULONG_PTR key = 0;
    OVERLAPPED* which = nullptr;
    BOOL fine = ::GetQueuedCompletionStatus(port.get(), &size, &key, &which, deadline.wait_ms());
    if (!fine && !which) {
        ::CancelIoEx(slot.get(), &writing);
        fine = ::GetQueuedCompletionStatus(port.get(), &size, &key, &which, INFINITE);
    }
    if (fine)
        return Delivery::delivered;
    if (::GetLastError() == ERROR_OPERATION_ABORTED)
        return Delivery::full;
    ipc::throw_last_error("WriteFile", path);
}

std::vector<Missed> broadcast(std::string_view message, const std::vector<std::string>& names) {
    std::vector<std::string> results(names.size());
    std::vector<std::thread> rounds;
    for (std::size_t i = 0; i < names.size(); ++i)
        rounds.emplace_back([&, i] {
            try {
                if (const Delivery delivery = post(names[i], message, ipc::Deadline::in_ms(0)); delivery != Delivery::delivered)
                    results[i] = text(delivery);
            } catch (const std::exception& error) {
                results[i] = error.what();
            }
        });
    for (std::thread& round : rounds)
        round.join();
    std::vector<Missed> missed;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (!results[i].empty())
            missed.push_back({names[i], results[i]});
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
    const auto behind = seen.holes.upper_bound(number);
    if (number > seen.highest) {
        const News news = number - seen.highest == 1 ? News{} : News{News::Kind::gap, seen.highest + 1, number - 1};
        if (news.kind == News::Kind::gap)
            seen.holes.emplace(news.first, news.last);
        seen.highest = number;
        return news;
    }
    if (behind == seen.holes.begin())
        return {News::Kind::duplicate, 0, 0};
    const auto hole = std::prev(behind);
    const std::uint64_t last = hole->second;
    if (last < number)
        return {News::Kind::duplicate, 0, 0};
    if (number != last)
        seen.holes.emplace(number + 1, last);
    if (number == hole->first)
        seen.holes.erase(hole);
    else
        hole->second = number - 1;
    return {News::Kind::late, 0, 0};
}

}  // namespace mailslots
