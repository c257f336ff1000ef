#include "program.hpp"

#include "ipc/program.hpp"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

constexpr const char* mode_names[] = {"closed-loop", "open-loop", "throughput"};
// A message's text repeats after so many bytes; a prime, so that no two pages of it are the same.
constexpr std::size_t text_period = 4099;

double number_from(const std::string& option, const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end || !(value >= -1 && value < 1e15))
        throw ipc::usage_error(option + " takes a number, not '" + text + "'");
    return value;
}

Mode mode_from(const std::string& text) {
    for (int i = 0; i < 3; ++i)
        if (text == mode_names[i])
            return static_cast<Mode>(i);
    throw ipc::usage_error("--mode is closed-loop, open-loop or throughput, not '" + text + "'");
}

Setting setting_from(const std::vector<std::string>& words) {
    Setting setting;
    for (std::size_t i = 0; i < words.size(); i += 2) {
        const std::string& option = words[i];
        if (i + 1 == words.size())
            throw ipc::usage_error(option + " takes a value");
        const std::string& value = words[i + 1];
        const auto number = [&] { return number_from(option, value); };
        if (option == "--side")
            setting.server = value == "server";
        else if (option == "--launched")
            setting.launched = true;
        else if (option == "--mode")
            setting.mode = mode_from(value);
        else if (option == "--size")
            setting.size = static_cast<std::size_t>(number());
        else if (option == "--seconds")
            setting.seconds = number();
        else if (option == "--rate")
            setting.rate = number();
        else if (option == "--bytes")
            setting.bytes = static_cast<std::uint64_t>(number());
        else if (option == "--memory")
            setting.memory = static_cast<std::size_t>(number());
        else if (option == "--clients")
            setting.clients = static_cast<unsigned>(number());
        else if (option == "--name")
            setting.name = value;
        else if (option == "--folder")
            setting.folder = value;
        else if (option == "--client-cpu")
            setting.client_cpu = static_cast<int>(number());
        else if (option == "--server-cpu")
            setting.server_cpu = static_cast<int>(number());
        else
            throw ipc::usage_error("unknown option '" + option + "'");
    }
    if (setting.size < smallest_message || setting.size > (std::size_t{1} << 30) || !(setting.rate > 0))
        throw ipc::usage_error("--size is at least " + std::to_string(smallest_message) +
                               " bytes, --rate more than 0");
    return setting;
}

void write_report(const Setting& setting, const std::string& fields) {
    const std::string file = setting.path(setting.server ? "server.json" : "client.json");
    std::ofstream stream(file, std::ios::binary);
    stream << "{" << fields << "}\n";
    stream.close();
    if (!stream)
        throw std::runtime_error("cannot write the report " + file);
}

std::string field(const char* name, double value) {
    char text[64];
    std::snprintf(text, sizeof text, "\"%s\": %.9g", name, value);
    return text;
}
std::string field(const char* name, std::uint64_t value) {
    return '"' + std::string(name) + "\": " + std::to_string(value);
}

std::string field(const char* name, const Histogram& histogram) {
    std::string text = '"' + std::string(name) + "\": [";
    for (const auto& [bucket, count] : histogram.buckets())
        text +=
            (text.back() == '[' ? "[" : ",[") + std::to_string(bucket) + "," + std::to_string(count) + "]";
    return text + "]";
}

std::string usage_since(const Usage& before) {
    const Usage after = usage();
    std::string text = field("cpu_seconds", after.cpu_seconds - before.cpu_seconds);
    if (after.voluntary >= 0)
        text += ", " + field("voluntary", static_cast<double>(after.voluntary - before.voluntary)) + ", " +
                field("involuntary", static_cast<double>(after.involuntary - before.involuntary));
    if (const long memory = peak_memory_kib(); memory >= 0)
        text += ", " + field("peak_memory_kib", static_cast<double>(memory));
    return text;
}

std::uint64_t nanoseconds(double seconds) {
    return static_cast<std::uint64_t>(seconds * 1e9);
}
double warm_up(const Setting& setting) {
    return setting.seconds / 4;
}

// A look at the clock costs as much as a small message.
bool time_to_look(std::uint64_t messages, std::size_t size) {
    return messages % std::clamp<std::uint64_t>(65536 / size, 1, 64) == 0;
}

// However little time there is: a figure is of so many messages at least.
constexpr std::uint64_t fewest = 10;

Body client_body, server_body;

int run_side(const ipc::Arguments& arguments) {
    const Setting setting = setting_from(arguments.options);
    if (setting.server)
        die_with_client();
    prepare(setting.server ? setting.server_cpu : setting.client_cpu);
    try {
        (setting.server ? server_body : client_body)(setting);
        return ipc::exit_code::success;
    } catch (const ServerFailed& failure) {
        return failure.code;
    }
}

}  // namespace

int run(int argc, char** argv, Body client, Body server) {
    client_body = client;
    server_body = server;
    return ipc::run_program(argc, argv, run_side);
}

std::vector<std::string> Setting::words(bool as_server) const {
    return {"--side",       as_server ? "server" : "client",
            "--mode",       mode_names[static_cast<int>(mode)],
            "--size",       std::to_string(size),
            "--seconds",    std::to_string(seconds),
            "--rate",       std::to_string(rate),
            "--bytes",      std::to_string(bytes),
            "--memory",     std::to_string(memory),
            "--clients",    std::to_string(clients),
            "--name",       name,
            "--folder",     folder,
            "--client-cpu", std::to_string(client_cpu),
            "--server-cpu", std::to_string(server_cpu)};
}

std::string message_of(std::size_t size, std::uint64_t number) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < std::min(size, text_period); ++i)
        text[i] = static_cast<char>('!' + i * 7 % text_period % 90);
    for (std::size_t i = text_period; i < size; i += text_period)
        text.replace(i, std::min(text_period, size - i), text, 0, std::min(text_period, size - i));
    put_number(text.data(), number);
    return text;
}

std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
}

// ---- round trips ----

RoundTrips::RoundTrips(const Setting& setting) : setting_(setting), message_(message_of(setting.size, 0)) {}

bool RoundTrips::next() {
    if (sent_ == 0) {
        before_ = usage();
        answered_at_ = now_ns();
        counted_from_ = answered_at_ + nanoseconds(warm_up(setting_));
        end_ = counted_from_ + nanoseconds(setting_.seconds);
        timetable_ = Timetable(answered_at_, setting_.rate);
    }
    if (setting_.mode == Mode::open_loop) {
        due_ = timetable_.due(sent_);
        // Twice the time for a mechanism that can not keep the pace: what was due before the end has to be in
        // the result.
        const bool enough = from_send_.count() >= fewest;
        if (enough && (due_ >= end_ || answered_at_ >= end_ + nanoseconds(setting_.seconds)))
            return false;
        std::uint64_t now = now_ns();
        constexpr std::uint64_t late_by_sleeping = 300'000;
        if (due_ > now + late_by_sleeping)
            std::this_thread::sleep_for(std::chrono::nanoseconds(due_ - now - late_by_sleeping));
        while ((now = now_ns()) < due_) {
        }
        sent_at_ = now;
    } else {
        if (answered_at_ >= end_ && from_send_.count() >= fewest)
            return false;
        sent_at_ = answered_at_;  // one look at the clock a round trip
        due_ = sent_at_;
    }
    put_number(message_.data(), sent_++);
    return true;
}

bool RoundTrips::answered(std::uint64_t number) {
    answered_at_ = now_ns();
    audit_.arrived(number);
    if (number + 1 != sent_)
        return false;
    if (!skipped_ && due_ >= counted_from_) {
        from_send_.record(answered_at_ - sent_at_);
        if (setting_.mode == Mode::open_loop)
            from_due_.record(answered_at_ - due_);
    }
    skipped_ = false;
    return true;
}

void RoundTrips::report() const {
    write_report(setting_, field("messages", sent_) + ", " + field("lost", audit_.lost(sent_)) + ", " +
                               field("duplicated", audit_.duplicated()) + ", " +
                               field("reordered", audit_.reordered()) + ", " +
                               field("from_send", from_send_) + ", " + field("from_due", from_due_) + ", " +
                               usage_since(before_));
}

// ---- a stream, as it leaves ----

Outgoing::Outgoing(const Setting& setting) : setting_(setting) {
    const std::size_t messages = std::max<std::size_t>(1, setting.memory / setting.size);
    memory_.reserve(messages * setting.size);
    for (std::size_t i = 0; i < messages; ++i)
        memory_ += message_of(setting.size, 0);
}

bool Outgoing::over() {
    if (setting_.bytes > 0)
        return sent_ * setting_.size >= setting_.bytes;
    return sent_ >= fewest && time_to_look(sent_, setting_.size) && now_ns() >= end_;
}

std::string_view Outgoing::next() {
    if (ended_)
        return {};
    if (sent_ == 0) {
        before_ = usage();
        end_ = now_ns() + nanoseconds(setting_.seconds + warm_up(setting_));
    }
    ended_ = over();
    char* const message = memory_.data() + at_;
    at_ = at_ + 2 * setting_.size > memory_.size() ? 0 : at_ + setting_.size;
    put_number(message, ended_ ? last_number : sent_++);
    return {message, setting_.size};
}

void Outgoing::report(bool with_usage) const {
    write_report(setting_, field("messages", sent_) + ", " +
                               (with_usage ? usage_since(before_) : field("cpu_seconds", 0.0)));
}

// ---- messages, as they arrive ----

Incoming::Incoming(const Setting& setting) : setting_(setting) {
    constexpr std::size_t gulp = 256 * 1024;  // what a reader of small messages takes at once
    const std::size_t wanted = std::max({setting.size, setting.memory, gulp});
    memory_.resize(wanted / setting.size * setting.size, ' ');
}

bool Incoming::arrived(std::size_t bytes) {
    filled_ += bytes;
    bool more = true;
    for (; more && filled_ - parsed_ >= setting_.size; parsed_ += setting_.size)
        more = numbered(number_in(memory_.data() + parsed_));
    if (filled_ == memory_.size())
        filled_ = parsed_ = 0;
    return more;
}

bool Incoming::copy_in(const char* from, std::size_t bytes) {
    bool more = true;
    while (more && bytes > 0) {
        const std::size_t part = std::min(bytes, room_size());
        std::memcpy(room(), from, part);
        more = arrived(part);
        from += part;
        bytes -= part;
    }
    return more;
}

bool Incoming::numbered(std::uint64_t number) {
    if (number == last_number) {
        pause();
        return false;
    }
    ++messages_;
    audit_.arrived(number);
    if (messages_ == 1) {
        before_ = usage();
        warm_until_ = now_ns() + nanoseconds(warm_up(setting_));
    }
    if (!running_) {
        running_ = true;
        from_ns_ = now_ns();
        from_messages_ = messages_;
    } else if (warming_up_ && time_to_look(messages_, setting_.size) && now_ns() >= warm_until_) {
        pause();
        running_ = true;
        from_ns_ = now_ns();
        from_messages_ = messages_;
        warming_up_ = false;
    }
    return true;
}

void Incoming::pause() {
    if (!running_)
        return;
    running_ = false;
    Stretch& stretch = warming_up_ ? warm_up_ : timed_;
    stretch.ns += (marked_ns_ > from_ns_ ? marked_ns_ : now_ns()) - from_ns_;
    stretch.messages += messages_ - from_messages_;
}

void Incoming::mark() {
    marked_ns_ = now_ns();
}

void Incoming::report(std::uintmax_t segment_bytes) const {
    // One that was over before it was warm, and one that is to take a number of bytes, count from the first
    // message.
    Stretch timed = timed_;
    if (timed.messages < fewest || setting_.bytes > 0)
        timed = {timed_.ns + warm_up_.ns, timed_.messages + warm_up_.messages};
    write_report(setting_, (segment_bytes > 0 ? field("segment_bytes", segment_bytes) + ", " : "") +
                               field("messages", messages_) + ", " + field("distinct", audit_.distinct()) +
                               ", " + field("duplicated", audit_.duplicated()) + ", " +
                               field("reordered", audit_.reordered()) + ", " +
                               field("timed_messages", timed.messages) + ", " +
                               field("timed_seconds", static_cast<double>(timed.ns) / 1e9) + ", " +
                               usage_since(before_));
}

}  // namespace bench
