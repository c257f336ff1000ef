// The puppet: the other process of a case, moved by the judge. See puppet.md.

#include "payload.hpp"
#include "puppet_system.hpp"
#include <nlohmann/json.hpp>
#include <vector>

using nlohmann::json;

namespace {

constexpr std::size_t chunk = 64 * 1024;

std::string read_line(puppet::Channel& channel) {
    std::string line;
    for (char c = 0;;) {
        channel.read(&c, 1);
        if (c == '\n')
            return line;
        line += c;
    }
}

void answer(puppet::Channel& channel, json message, const std::string& bytes = {}) {
    if (!bytes.empty())
        message["bytes"] = bytes.size();
    const std::string text = message.dump(-1, ' ', false, json::error_handler_t::replace) + "\n" + bytes;
    channel.write(text.data(), text.size());
}

json outcome(const puppet::Moved& moved) {
    json message = {{"ok", moved.error.empty()}, {"count", moved.count}};
    if (!moved.error.empty())
        message["error"] = moved.error;
    return message;
}

puppet::Moved pour(std::uint64_t count, std::uint64_t seed) {
    judge::Random random(seed);
    std::vector<char> buffer(chunk);
    puppet::Moved total;
    while (total.count < count && total.error.empty()) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, count - total.count));
        random.fill(buffer.data(), size);
        const puppet::Moved moved = puppet::standard_write(puppet::Standard::output, buffer.data(), size);
        total.count += moved.count;
        total.error = moved.error;
    }
    return total;
}

// Reads to the end, and copies to standard output if asked to.
json drain(bool relay) {
    std::vector<char> buffer(chunk);
    judge::Hash hash;
    std::string error;
    while (error.empty()) {
        const puppet::Moved in = puppet::standard_read(buffer.data(), buffer.size());
        error = in.error;
        if (in.count == 0)
            break;
        hash.add(buffer.data(), in.count);
        if (relay)
            error = puppet::standard_write(puppet::Standard::output, buffer.data(), in.count).error;
    }
    json message = outcome({static_cast<std::size_t>(hash.count()), error});
    message["hash"] = hash.hex();
    return message;
}

void read_some(puppet::Channel& channel, std::size_t count) {
    std::string bytes;
    std::vector<char> buffer(chunk);
    puppet::Moved in;
    bool end = false;
    while (bytes.size() < count && !end && in.error.empty()) {
        in = puppet::standard_read(buffer.data(), std::min(buffer.size(), count - bytes.size()));
        end = in.count == 0;
        bytes.append(buffer.data(), in.count);
    }
    json message = outcome({bytes.size(), in.error});
    message["end"] = end;
    answer(channel, message, bytes);
}

void obey(puppet::Channel& channel, const json& request, const std::string& bytes, const std::string& program) {
    const std::string what = request.at("do");
    using puppet::Standard;
    if (what == "write")
        answer(channel, outcome(puppet::standard_write(Standard::output, bytes.data(), bytes.size())));
    else if (what == "write-error")
        answer(channel, outcome(puppet::standard_write(Standard::error, bytes.data(), bytes.size())));
    else if (what == "pour")
        answer(channel, outcome(pour(request.at("count"), request.at("seed"))));
    else if (what == "read")
        read_some(channel, request.at("count"));
    else if (what == "drain" || what == "relay")
        answer(channel, drain(what == "relay"));
    else if (what == "close-input" || what == "close-output") {
        puppet::close_standard(what == "close-input" ? Standard::input : Standard::output);
        answer(channel, {{"ok", true}});
    } else if (what == "descriptors")
        answer(channel, {{"ok", true}, {"descriptors", puppet::descriptors(channel)}});
    else if (what == "ignore-polite") {
        puppet::ignore_polite_requests();
        answer(channel, {{"ok", true}});
    } else if (what == "spawn")
        answer(channel, {{"ok", true}, {"pid", puppet::spawn(program, request.at("endpoint"), request.value("detached", false))}});
    else if (what == "reap")
        answer(channel, {{"ok", true}, {"code", puppet::reap()}});
    else if (what == "exit")
        puppet::end(request.at("code"));
    else if (what == "crash")
        puppet::crash(request.at("how"));
    else if (what == "hold")
        puppet::hold();
    else if (what == "spin")
        for (volatile unsigned turns = 0;;)
            turns = turns + 1;
    else
        answer(channel, {{"ok", false}, {"error", "unknown request " + what}});
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> all = puppet::arguments(argc, argv);
    if (all.size() < 2)
        return 2;
    puppet::Channel channel(all[1]);
    answer(channel, {{"hello", puppet::own_id()},
                     {"args", std::vector<std::string>(all.begin() + 2, all.end())},
                     {"env", puppet::environment()},
                     {"cwd", puppet::current_directory()},
                     {"signals", puppet::odd_signals()}});
    for (;;) {
        const json request = json::parse(read_line(channel));
        std::string bytes(request.value("bytes", std::size_t{0}), '\0');
        if (!bytes.empty())
            channel.read(bytes.data(), bytes.size());
        obey(channel, request, bytes, all[0]);
    }
}
