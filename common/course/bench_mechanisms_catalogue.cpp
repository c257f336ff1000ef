// What there is to measure, by name, and how reports are read.

#include "bench_mechanisms.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <tuple>

namespace course {

const std::vector<Contender>& contenders() {
    static const std::vector<Contender> all = [] {
        std::vector<Contender> list;
        const auto add = [&](Contender::Kind kind, const char* id, const char* title,
                             const char* lab) -> Contender& {
            Contender& added = list.emplace_back();
            added.id = id;
            added.title = title;
            added.kind = kind;
            added.lab = lab;
            return added;
        };
        using enum Contender::Kind;
        add(mechanism, "pipe", "anonymous pipe", "01-anonymous-pipes");
        Contender& fifo = add(mechanism, "named_pipe", "named pipe", "02-named-pipes");
        fifo.largest_answer = 4000;
        fifo.why_not_larger = "a request of lab 02 is at most 4,000 bytes, so that it fits into PIPE_BUF";
        Contender& slot = add(mechanism, "mailslot", "mailslot", "03-mailslots");
        slot.largest_answer = slot.largest_message = 65536;
        slot.why_not_larger = "a message of lab 03 is at most 64 KiB";
        add(mechanism, "ring", "shared-memory ring", "05-shared-memory");
        for (const auto& [id, title] : {std::pair{"event", "event"}, {"semaphore", "semaphore"}}) {
            Contender& turn = add(mechanism, id, title, "06-synchronization");
            turn.largest_answer = 64;
            turn.largest_message = 0;
            turn.why_not_larger = "it carries no bytes: what is measured is the turn alone";
        }
        for (const auto& [id, title] : {std::pair{"unix_socket", "UNIX socket"}, {"tcp", "TCP"}}) {
            Contender& socket = add(mechanism, id, title, "07-sockets");
            socket.largest_answer = socket.largest_message = 65536;
            socket.why_not_larger = "a frame of lab 07 is at most 64 KiB";
            socket.posix_only = socket.id == "unix_socket";
        }
        Contender& udp = add(mechanism, "udp", "UDP", "07-sockets");
        udp.largest_answer = udp.largest_message = 1200;
        udp.why_not_larger = "a datagram of lab 07 is at most 1,200 bytes, to fit into one packet";
        add(again, "ring_again", "the ring again (A/A)", "05-shared-memory").of = "ring";
        add(again, "pipe_again", "the pipe again (A/A)", "01-anonymous-pipes").of = "pipe";
        add(library, "library_boost", "Boost message_queue", "").package = "libboost-dev";
        add(library, "library_zeromq", "ZeroMQ ipc://", "").package = "libzmq3-dev";
        add(library, "library_nng", "nng ipc://", "").package = "libnng-dev";
        for (const auto& [id, title, of] :
             {std::tuple{"server", "serve(), 64 clients", ""},
              {"server_1000", "serve(), 1,000 clients", "server"},
              {"server_again", "serve(), 64 clients, again (A/A)", "server"},
              {"floor_epoll", "floor: epoll echo, 64 clients", ""},
              {"floor_epoll_1000", "floor: epoll echo, 1,000 clients", "floor_epoll"}}) {
            const std::string name = id;
            const bool is_floor = name.rfind("floor", 0) == 0, many = name.find("1000") != std::string::npos;
            Contender& server = add(is_floor                 ? floor
                                    : name == "server_again" ? again
                                                             : mechanism,
                                    id, title, is_floor ? "" : "07-sockets");
            server.largest_answer = 0;
            server.of = of;
            server.posix_only = true;
            server.options = {"--clients", many ? "1000" : "64"};
        }
        Contender& futex = add(floor, "floor_futex", "floor: futex and copies", "");
        futex.largest_message = 0;
        futex.posix_only = true;
        Contender& spin = add(floor, "floor_spin", "floor: spinning and copies", "");
        spin.largest_message = 0;
        spin.needs_two = true;
        add(floor, "floor_memcpy", "floor: memcpy", "").largest_answer = 0;
        return list;
    }();
    return all;
}

const Contender& contender(const std::string& id) {
    for (const Contender& each : contenders())
        if (each.id == id)
            return each;
    throw std::logic_error("there is no contender " + id);
}

std::string_view name_of(BenchMode mode) {
    constexpr std::string_view names[] = {"closed loop", "open loop", "throughput", "stream"};
    return names[static_cast<int>(mode)];
}

std::string_view name_of(Placement placement) {
    return placement == Placement::two ? "two processors" : "one processor";
}

std::string size_text(std::size_t size) {
    if (size >= (1 << 20) && size % (1 << 20) == 0)
        return fmt::format("{} MiB", size >> 20);
    if (size >= 1024 && size % 1024 == 0)
        return fmt::format("{} KiB", size >> 10);
    return fmt::format("{} B", size);
}

const Cell* BenchResult::cell(const std::string& id, BenchMode mode, std::size_t size,
                              Placement placement) const {
    const auto found = cells.find({id, mode, size, placement});
    return found == cells.end() ? nullptr : &found->second;
}

namespace {

bench::Histogram histogram_from(const nlohmann::json& buckets) {
    bench::Histogram histogram;
    for (const nlohmann::json& each : buckets)
        if (!histogram.record_bucket(each.at(0).get<std::size_t>(), each.at(1).get<std::uint64_t>()))
            throw std::runtime_error("a report names a bucket that there is not");
    return histogram;
}

}  // namespace

void add_reports(Cell& cell, BenchMode mode, const std::string& client_text, const std::string& server_text) {
    const nlohmann::json client = nlohmann::json::parse(client_text),
                         server = nlohmann::json::parse(server_text);
    const auto sent = client.at("messages").get<std::uint64_t>();
    cell.messages += sent;
    cell.busier_side +=
        std::max(client.at("cpu_seconds").get<double>(), server.at("cpu_seconds").get<double>());
    for (const nlohmann::json* side : {&client, &server}) {
        cell.cpu_seconds += side->at("cpu_seconds").get<double>();
        cell.knows_switches = cell.knows_switches || side->contains("voluntary");
        cell.voluntary += side->value("voluntary", 0.0);
        cell.involuntary += side->value("involuntary", 0.0);
    }
    if (mode == BenchMode::closed_loop || mode == BenchMode::open_loop) {
        const bench::Histogram from_send = histogram_from(client.at("from_send"));
        if (from_send.count() == 0)
            throw std::runtime_error("not one round trip was completed in the time");
        cell.p50_by_round.push_back(from_send.percentile(50));
        cell.from_send.merge(from_send);
        cell.from_due.merge(histogram_from(client.at("from_due")));
        cell.lost += client.at("lost").get<std::uint64_t>();
        cell.duplicated += client.at("duplicated").get<std::uint64_t>();
        cell.reordered += client.at("reordered").get<std::uint64_t>();
        return;
    }
    const auto distinct = server.at("distinct").get<std::uint64_t>();
    cell.lost += sent > distinct ? sent - distinct : 0;
    cell.duplicated += server.at("duplicated").get<std::uint64_t>();
    cell.reordered += server.at("reordered").get<std::uint64_t>();
    const double seconds = server.at("timed_seconds").get<double>(),
                 messages = server.at("timed_messages").get<double>();
    if (seconds <= 0 || messages <= 0)
        throw std::runtime_error("not one message arrived in the time that counts");
    cell.rate_by_round.push_back(messages / seconds);
}

}  // namespace course
