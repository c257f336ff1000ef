// The ring of lab 05, by its send() and receive(): one ring for a stream, two for round trips.

#include "fiber.hpp"
#include "program.hpp"
#include "shared_memory.hpp"
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

// Given to the lab by its main.cpp, for its judge. Nothing happens here before a sleep.
void shared_memory::before_sleep() {}

namespace {

using namespace bench;

// What is left of a message, handed out in the pieces that the ring asks for.
class Pieces {
public:
    bool empty() const { return rest_.empty(); }
    void of(std::string_view message) { rest_ = message; }
    std::size_t take(char* to, std::size_t size) {
        const std::size_t count = std::min(size, rest_.size());
        std::memcpy(to, rest_.data(), count);
        rest_.remove_prefix(count);
        return count;
    }

private:
    std::string_view rest_;
};

// A message, put together of the pieces that the ring hands out.
class Whole {
public:
    explicit Whole(std::size_t size) : memory_(size, ' ') {}
    /// @return whether the message is complete
    bool add(const char* from, std::size_t size) {
        if (have_ == memory_.size())
            have_ = 0;
        if (size > memory_.size() - have_)
            throw std::logic_error("the ring handed out bytes that nobody had sent");
        std::memcpy(memory_.data() + have_, from, size);
        have_ += size;
        return have_ == memory_.size();
    }
    std::string_view text() const { return memory_; }

private:
    std::string memory_;
    std::size_t have_ = 0;
};

std::string there(const Setting& setting) {
    return setting.name + ".there";
}
std::string back(const Setting& setting) {
    return setting.name + ".back";
}

// Both sides join both rings before either waits for the other.
void ask(const Setting& setting) {
    RoundTrips trips(setting);
    Whole answer(setting.size);
    Fiber answers([&] {
        shared_memory::receive(
            back(setting),
            [&](const char* from, std::size_t size) {
                if (answer.add(from, size)) {
                    trips.answered(answer.text());
                    answers.leave();
                }
            },
            [&] { answers.leave(); });
    });
    Pieces question;
    bool first = true;
    shared_memory::send(
        there(setting),
        [&](char* to, std::size_t size) -> std::size_t {
            if (question.empty()) {
                if (!std::exchange(first, false))
                    answers.enter();
                if (!trips.next())
                    return 0;
                question.of(trips.message());
            }
            return question.take(to, size);
        },
        [&] { answers.enter(); });
    answers.enter();  // the end of the other stream
    trips.report();
}

void answer(const Setting& setting) {
    Incoming incoming(setting);
    Whole question(setting.size);
    Pieces reply;
    bool over = false;
    Fiber replies([&] {
        shared_memory::send(
            back(setting),
            [&](char* to, std::size_t size) -> std::size_t {
                while (reply.empty() && !over)
                    replies.leave();
                return reply.take(to, size);
            },
            [&] { replies.leave(); });
    });
    shared_memory::receive(
        there(setting),
        [&](const char* from, std::size_t size) {
            if (question.add(from, size)) {
                incoming.message(question.text());
                reply.of(question.text());
                replies.enter();
            }
        },
        [&] { replies.enter(); });
    over = true;
    replies.enter();
    incoming.report();
}

void pour(const Setting& setting) {
    Outgoing stream(setting);
    Pieces message;
    shared_memory::send(
        there(setting),
        [&](char* to, std::size_t size) {
            if (message.empty())
                message.of(stream.next());  // one message a call: what a caller with one message in hand does
            return message.take(to, size);
        },
        [] {});
    stream.report();
}

// Where Linux shows the segment; 0 elsewhere.
std::uintmax_t segment_size(const Setting& setting) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size("/dev/shm/" + there(setting), error);
    return error ? 0 : size;
}

void drain(const Setting& setting) {
    Incoming incoming(setting);
    std::uintmax_t segment = 0;
    shared_memory::receive(
        there(setting),
        [&](const char* from, std::size_t size) {
            if (!incoming.copy_in(from, size))
                segment = segment_size(setting);  // still there, and as large as it ever was
        },
        [] {});
    incoming.report(segment);
}

void client(const Setting& setting) {
    Server server(setting);
    setting.mode == Mode::throughput ? pour(setting) : ask(setting);
    server.wait();
}

void server(const Setting& setting) {
    setting.mode == Mode::throughput ? drain(setting) : answer(setting);
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc, argv, client, server);
}
