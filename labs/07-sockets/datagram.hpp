#pragma once

/// @file
/// Given: what travels in one UDP datagram of lab 07, as text that a person can read with `nc -u -l`.
///
///     plain 5d1c0a44 2/3 hello      number 2 of 3; nobody is to acknowledge it
///     sure 5d1c0a44 2/3 hello       the same; whoever gets it acknowledges it
///     ack 5d1c0a44 2/3              number 2 has arrived
///
/// 5d1c0a44 stands for one run of one sender. The text is the rest, of any bytes.

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace sockets {

/// The longest text of a datagram, in bytes. With its headers it fits into one packet on nearly every network: a larger
/// datagram is cut up on its way, and lost if one of the parts is.
constexpr std::size_t longest_datagram = 1200;

/// The most datagrams that one sender may announce.
constexpr unsigned most_datagrams = 100'000;

struct Datagram {
    enum class Kind { plain, sure, ack };
    Kind kind = Kind::plain;
    std::string sender;   ///< eight hexadecimal digits
    unsigned number = 0;  ///< 1, 2, 3, …
    unsigned count = 0;   ///< how many there are in all
    std::string text;
};

/// A sender's mark, different at each call.
inline std::string new_sender() {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(std::random_device()()));
    return digits;
}

/// The bytes of one datagram.
inline std::string to_bytes(const Datagram& datagram) {
    static constexpr const char* words[] = {"plain ", "sure ", "ack "};
    std::string bytes = words[static_cast<int>(datagram.kind)] + datagram.sender + " " + std::to_string(datagram.number) +
                        "/" + std::to_string(datagram.count);
    return datagram.kind == Datagram::Kind::ack ? bytes : bytes + " " + datagram.text;
}

/// The datagram that these bytes are; none if they are none: anybody can send anything to a UDP port.
inline std::optional<Datagram> parse(std::string_view bytes) {
    const auto word = [&bytes](char end) {
        const auto size = bytes.find(end);
        const std::string_view found = bytes.substr(0, size);
        bytes.remove_prefix(size == bytes.npos ? bytes.size() : size + 1);
        return found;
    };
    const auto number = [](std::string_view digits) {
        unsigned value = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        return error == std::errc() && end == digits.data() + digits.size() ? value : 0;
    };
    Datagram datagram;
    const std::string_view kind = word(' ');
    if (kind == "sure")
        datagram.kind = Datagram::Kind::sure;
    else if (kind == "ack")
        datagram.kind = Datagram::Kind::ack;
    else if (kind != "plain")
        return std::nullopt;
    datagram.sender = word(' ');
    datagram.number = number(word('/'));
    datagram.count = number(word(' '));
    datagram.text = bytes;
    const bool fine = datagram.sender.size() == 8 && datagram.number > 0 && datagram.number <= datagram.count &&
                      datagram.count <= most_datagrams && datagram.text.size() <= longest_datagram;
    return fine ? std::optional(datagram) : std::nullopt;
}

}  // namespace sockets
